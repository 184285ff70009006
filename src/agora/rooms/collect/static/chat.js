// Streaming on top of a page that works without it. Text from outside enters the page as text, never as markup;
// when a reply is done the page is fetched again and the server's safe HTML takes its place.
"use strict";
(() => {
  for (const button of document.querySelectorAll("[data-copy], [data-copy-text]")) {
    button.hidden = !navigator.clipboard;
    button.addEventListener("click", async () => {
      const from = button.dataset.copy
        ? document.getElementById(button.dataset.copy)
        : button.closest(".message").querySelector(".text");
      await navigator.clipboard.writeText(from.innerText);
      say(words.copied || "");
    });
  }
  const root = document.querySelector("[data-chat]");
  const words = root ? JSON.parse(root.dataset.words) : {};
  const status = document.getElementById("status");
  const say = (text) => { if (status) status.textContent = text; };
  if (!root) return;

  const list = document.getElementById("messages");
  const form = document.getElementById("compose");
  const field = document.getElementById("content");
  const send = document.getElementById("send");
  const stop = document.getElementById("stop");
  let writing = null; // id of the reply that is being written

  const newId = () => Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");

  const post = (path, body) =>
    fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

  const add = (role, text) => {
    list.querySelector(".empty")?.remove();
    const item = document.createElement("li");
    item.className = `message ${role}`;
    const who = document.createElement("p");
    who.className = "who";
    who.textContent = role === "user" ? words.you : words.model;
    const body = document.createElement("div");
    body.className = "text typed";
    body.dir = "auto";
    body.textContent = text;
    item.append(who, body);
    list.append(item);
    item.scrollIntoView({ block: "nearest" });
    return body;
  };

  const busy = (on) => {
    send.disabled = on;
    stop.hidden = !on;
    say(on ? words.writing : "");
  };

  // Reads one stream of events; returns the last place seen and whether the end was told.
  const read = async (response, seen) => {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      rest += value;
      const blocks = rest.split(/\r?\n\r?\n/);
      rest = blocks.pop();
      for (const block of blocks) {
        const event = { data: [] };
        for (const line of block.split(/\r?\n/)) {
          const at = line.indexOf(":");
          if (at <= 0) continue;
          const name = line.slice(0, at);
          const text = line.slice(at + 1).replace(/^ /, "");
          if (name === "data") event.data.push(text);
          else event[name] = text;
        }
        if (event.data.length) seen(event.event, JSON.parse(event.data.join("\n")), event.id);
      }
    }
  };

  const follow = async (first, body) => {
    let place = "0";
    let end = null;
    let conversation = root.dataset.conversation;
    const seen = (name, data, id) => {
      if (id) place = id;
      if (name === "meta") {
        writing = data.message_id;
        conversation = data.conversation_id;
      } else if (name === "delta") {
        body.append(data.text);
        body.parentElement.scrollIntoView({ block: "end" });
      } else if (name === "done" || name === "error") {
        end = name;
      }
    };
    try {
      await read(first, seen);
    } catch {
      // the connection broke: come back to where we were
    }
    for (let tries = 0; end === null && writing && tries < 20; tries += 1) {
      await new Promise((resolve) => setTimeout(resolve, Math.min(5000, 500 * 2 ** tries)));
      try {
        const again = await fetch(`/api/v1/messages/${writing}/events`, { headers: { "last-event-id": place } });
        if (again.ok) await read(again, seen);
      } catch {
        // still away
      }
    }
    const shown = writing;
    writing = null;
    busy(false);
    if (end === "error") say(words.failed);
    await show(conversation, shown);
  };

  // The server's own rendering of the conversation replaces what was streamed.
  const show = async (conversation, leaf) => {
    const address = `/chat/${conversation}?leaf=${leaf}`;
    const page = await fetch(address);
    if (!page.ok) return;
    const fresh = new DOMParser().parseFromString(await page.text(), "text/html");
    root.dataset.conversation = conversation;
    list.replaceChildren(...fresh.getElementById("messages").children);
    document.querySelector(".threads").replaceChildren(...fresh.querySelector(".threads").children);
    form.action = fresh.getElementById("compose").action;
    form.elements.parent_id.value = fresh.getElementById("compose").elements.parent_id.value;
    for (const button of list.querySelectorAll("[data-copy-text]")) {
      button.hidden = !navigator.clipboard;
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(button.closest(".message").querySelector(".text").innerText);
        say(words.copied);
      });
    }
    history.replaceState(null, "", address);
    field.focus();
  };

  const refused = async (response) => {
    busy(false);
    try {
      say((await response.json()).error.message);
    } catch {
      say(words.failed);
    }
  };

  // What looks personal is said before it is sent; the person decides. Without an answer the message goes its way.
  const warning = document.getElementById("personal");
  let confirmed = null; // the very text a person wants to send as it is
  const personal = async (text) => {
    try {
      const response = await post("/api/v1/pii/preview", { text });
      return response.ok ? (await response.json()).kinds : [];
    } catch {
      return [];
    }
  };
  document.getElementById("personal-send").addEventListener("click", () => {
    confirmed = field.value;
    form.requestSubmit();
  });
  document.getElementById("personal-edit").addEventListener("click", () => {
    warning.hidden = true;
    field.focus();
  });

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const content = field.value;
    if (!content.trim() || writing || send.disabled) return;
    warning.hidden = true;
    send.disabled = true;
    const kinds = content === confirmed ? [] : await personal(content);
    send.disabled = false;
    if (kinds.length) {
      document.getElementById("personal-kinds").textContent = kinds.join(", ");
      warning.hidden = false;
      warning.focus();
      return;
    }
    confirmed = null;
    busy(true);
    const clientId = form.elements.client_msg_id.value;
    try {
      if (!root.dataset.conversation) {
        const made = await post("/api/v1/conversations", {});
        if (!made.ok) return refused(made);
        root.dataset.conversation = (await made.json()).id;
      }
      const response = await post(`/api/v1/conversations/${root.dataset.conversation}/messages`, {
        content, client_msg_id: clientId, parent_id: form.elements.parent_id.value || null,
      });
      if (!response.ok) return refused(response);
      add("user", content);
      field.value = "";
      form.elements.client_msg_id.value = newId();
      await follow(response, add("assistant", ""));
    } catch {
      busy(false);
      say(words.failed);
    }
  });

  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  });

  stop.addEventListener("click", () => { if (writing) post(`/api/v1/messages/${writing}/stop`, {}); });

  list.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-regenerate]");
    if (!button || writing) return;
    event.preventDefault();
    busy(true);
    const response = await post(`/api/v1/messages/${button.dataset.regenerate}/regenerate`, {});
    if (!response.ok) return refused(response);
    await follow(response, add("assistant", ""));
  });

  // A page loaded while a reply is being written goes on with it.
  const unfinished = list.querySelector('[data-status="streaming"]');
  if (unfinished) {
    busy(true);
    writing = unfinished.dataset.id;
    const body = unfinished.querySelector(".text");
    body.textContent = "";
    fetch(`/api/v1/messages/${writing}/events`).then((response) => follow(response, body));
  }
})();
