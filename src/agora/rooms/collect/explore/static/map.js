// Draws the points of the map: 16 bytes each, x and y as float32, topic and number as uint32. A click opens a conversation.
"use strict";
(() => {
  const canvas = document.getElementById("map"), status = document.getElementById("status");
  const colors = ["#3b76c0", "#c9622e", "#3a8f5c", "#9b4fb5", "#b8862b", "#2f8f98", "#c14a70", "#6f7680"];
  const edge = 20;
  let points = [];

  const read = async (query) => {
    const answer = await fetch("/explore/map.bin" + (query ? "?" + query : ""), { credentials: "same-origin" });
    if (!answer.ok) throw new Error(String(answer.status));
    const view = new DataView(await answer.arrayBuffer());
    return Array.from({ length: view.byteLength / 16 }, (_, i) => ({
      x: view.getFloat32(i * 16, true), y: view.getFloat32(i * 16 + 4, true),
      topic: view.getUint32(i * 16 + 8, true), number: view.getUint32(i * 16 + 12, true),
    }));
  };

  const place = (all) => {
    let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity];
    for (const p of all) {
      left = Math.min(left, p.x); right = Math.max(right, p.x); top = Math.min(top, p.y); bottom = Math.max(bottom, p.y);
    }
    const wide = right - left || 1, high = bottom - top || 1;
    for (const p of all) {
      p.px = edge + (p.x - left) / wide * (canvas.width - 2 * edge);
      p.py = edge + (p.y - top) / high * (canvas.height - 2 * edge);
    }
  };

  const draw = (hits) => {
    const pen = canvas.getContext("2d");
    const marked = new Set(hits.map((p) => p.number));
    const size = points.length > 20000 ? 1 : points.length > 2000 ? 1.5 : 3;
    for (const p of points) {
      pen.globalAlpha = hits.length && !marked.has(p.number) ? 0.15 : 0.7;
      pen.fillStyle = colors[p.topic % colors.length];
      pen.beginPath(); pen.arc(p.px, p.py, marked.has(p.number) ? size + 2 : size, 0, 2 * Math.PI); pen.fill();
    }
  };

  canvas.addEventListener("click", (event) => {
    const box = canvas.getBoundingClientRect();
    const x = (event.clientX - box.left) * canvas.width / box.width, y = (event.clientY - box.top) * canvas.height / box.height;
    let best = null, least = 15 * 15;
    for (const p of points) {
      const far = (p.px - x) ** 2 + (p.py - y) ** 2;
      if (far < least) { best = p; least = far; }
    }
    if (best) location.href = "/explore/points/" + best.number;
  });

  (async () => {
    try {
      points = await read(canvas.dataset.points);
      const hits = canvas.dataset.query ? await read(canvas.dataset.query) : [];
      place(points);
      canvas.hidden = false;
      draw(hits);
      canvas.dataset.drawn = String(points.length);
    } catch (error) {
      status.textContent = String(error.message);
    }
  })();
})();
