// Solves the visit's puzzle in a worker while the person reads or writes; the first message waits for it.
"use strict";
(() => {
  const notice = document.querySelector("[data-challenge]");
  const send = document.getElementById("send");
  if (!notice || !send) return;
  const words = JSON.parse(notice.dataset.words);
  const say = (text) => { notice.textContent = text; };
  send.disabled = true;
  say(words.working);
  const worker = new Worker("/static/guard/proof-worker.js");
  worker.addEventListener("message", async ({ data }) => {
    worker.terminate();
    try {
      const answer = await fetch("/api/v1/proof", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ challenge: notice.dataset.challenge, number: data }),
      });
      if (!answer.ok) throw new Error(String(answer.status));
      send.disabled = false;
      say(words.done);
    } catch {
      say(words.failed);
    }
  });
  worker.addEventListener("error", () => say(words.failed));
  worker.postMessage({ challenge: notice.dataset.challenge, bits: Number(notice.dataset.bits) });
})();
