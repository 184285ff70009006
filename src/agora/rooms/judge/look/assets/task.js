// One task: conversation, checklist, answers side by side, what each judge said, the outcome after the margin.
const FOLD = 2400; // characters of an answer that are shown before it is unfolded
const blocks = new Map();
const ready = new Promise((resolve) => {
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", resolve, { once: true });
  else resolve();
});

/** The texts of a block of tasks, unpacked when they are first needed. */
function readBlock(number) {
  if (!blocks.has(number)) blocks.set(number, unpack(number));
  return blocks.get(number);
}

async function unpack(number) {
  await ready; // the page shows its tables before the browser has read the texts behind them
  const bytes = Uint8Array.from(atob(document.getElementById(`block-${number}`).textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return JSON.parse(await new Response(stream).text());
}

async function textsFor(task) {
  if (!data.texts) return {};
  const block = data.texts.first.findLastIndex((first) => first <= task);
  return (await readBlock(block))[task - data.texts.first[block]];
}

/** A text as it was written; a long one shows its beginning. */
function words(text, limit = FOLD) {
  const box = h("div", { class: "words", dir: "auto" });
  if (text.length <= limit + 400) {
    box.textContent = text;
    return box;
  }
  const shown = h("span", { text: text.slice(0, limit) });
  const button = h("button", { type: "button", class: "unfold", text: `Show all ${text.length.toLocaleString("en-US")} characters` });
  button.addEventListener("click", () => {
    shown.textContent = text;
    button.remove();
    box.tabIndex = -1;
    box.focus();
  });
  box.append(shown, "… ", button);
  return box;
}

const STATUS = { unparsed: "the reply could not be read", refused: "the judge refused", missing: "no verdict" };
const SKIPPED = { empty: "empty answer: no judge was asked", both_empty: "both answers are empty: no judge was asked", baseline_empty: "the baseline's answer is empty: no judge was asked", identical: "both answers are the same: no judge was asked" };

/** A judge's value in words: yes and no, lists on lines, what is nested as JSON. */
function inWords(value) {
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value) && value.every((one) => typeof one !== "object")) return value.map(inWords).join(", ");
  return typeof value === "object" ? JSON.stringify(value, null, 1) : String(value);
}

/** Answers to a checklist's questions beside the questions: true and false, or {item, met}. */
function metQuestions(value, checklist) {
  if (!Array.isArray(value) || !checklist?.length || value.length !== checklist.length) return null;
  const met = value.map((one, i) => (typeof one === "boolean" ? [i + 1, inWords(one)] : [one?.item, one?.met]));
  if (!met.every(([item, said]) => checklist[item - 1] !== undefined && typeof said === "string")) return null;
  return h("ul", { class: "met" }, met.map(([item, said]) => h("li", { dir: "auto" }, h("span", { class: `badge ${said === "yes" ? "good" : said === "no" ? "bad" : ""}`, text: said }), " ", checklist[item - 1])));
}

function reasons(verdict, checklist) {
  const said = Object.entries(verdict.said ?? {}).map(([name, value]) => [name.replaceAll("_", " "), metQuestions(value, checklist) ?? words(inWords(value), 1200)]);
  return [
    verdict.skipped ? h("p", { class: "note", text: SKIPPED[verdict.skipped] ?? verdict.skipped }) : null,
    verdict.other !== undefined ? h("p", { class: "note", text: `The judge saw a text of ${verdict.other.toLocaleString("en-US")} characters, not this one.` }) : null,
    said.length ? h("dl", { class: "said-list" }, said.flatMap(([name, shown]) => [h("dt", { text: name }), h("dd", {}, shown)])) : null,
    verdict.raw ? h("details", {}, h("summary", { text: "The judge's reply as it came" }), words(verdict.raw, 1200)) : null,
  ];
}

function scoreBadge(score, status) {
  if (score === null) return h("span", { class: "badge missing", text: STATUS[status] ?? "not judged" });
  return h("span", { class: `badge ${score >= 7 ? "good" : score <= 4 ? "bad" : ""}`, text: `${figure(score, score % 1 ? 1 : 0)} of 10` });
}

function scoreBlocks(task, model, texts) {
  return data.tables.flatMap((table, t) => {
    const row = rowsByModel[t].get(model);
    const verdict = (texts.verdicts ?? []).find((v) => v.t === t && v.m === model && v.b === undefined && v.k === undefined);
    if (!row || (row.scores[task] === null && !row.missing[task] && !verdict)) return [];
    return [h("div", { class: "verdict" }, h("p", { class: "by" }, h("span", { text: table.judge }), scoreBadge(row.scores[task], row.missing[task])), verdict ? reasons(verdict, texts.checklist) : null)];
  });
}

/** Which questions of the checklist a judge found met; it enters no score. */
function checklistBlocks(model, texts) {
  return (texts.verdicts ?? []).filter((v) => v.k === "checklist" && v.m === model).map((v) =>
    h("details", { class: "verdict" },
      h("summary", {}, h("span", { text: `checklist by ${data.tables[v.t].judge}` }), " ",
        h("span", { class: "badge", text: v.value === null ? STATUS[v.status] ?? "not judged" : `${figure(100 * v.value, 0)} % met` })),
      reasons(v, texts.checklist)));
}

function pairBlocks(task, model, texts) {
  return data.tables.flatMap((table, t) => {
    const row = rowsByModel[t].get(model), found = (texts.verdicts ?? []).filter((v) => v.t === t && v.m === model && v.b !== undefined);
    const known = pairIndexes(row, null, task).map(([pairs, i]) => ({ pairs, i, baseline: Object.keys(row.pairs).find((b) => row.pairs[b] === pairs) }));
    const lines = known.map(({ pairs, i, baseline }) => {
      const second = pairs.second[i] === "1", verdict = found.find((v) => v.b === baseline && v.second === second);
      const before = pairs.value[i], after = afterMargin(before, pairs.gap[i], state.margin);
      const tone = after > 0 ? "good" : after < 0 ? "bad" : "";
      return h("details", { class: "verdict" },
        h("summary", {}, h("span", { text: `against ${baseline}` }), " ", h("span", { class: `badge ${tone}`, text: OUTCOMES[after] }),
          after !== before ? h("span", { class: "was", text: ` ${OUTCOMES[before]} without K = ${state.margin}` }) : null),
        h("p", { class: "note", text: `${table.judge}; shown ${second ? "second" : "first"}${pairs.gap[i] === null ? "" : `; ${Math.abs(pairs.gap[i]).toLocaleString("en-US")} characters ${pairs.gap[i] < 0 ? "shorter" : "longer"} than the baseline's`}` }),
        verdict ? reasons(verdict, texts.checklist) : null);
    });
    const failed = found.filter((v) => v.status).map((v) => h("div", { class: "verdict" },
      h("p", { class: "by" }, h("span", { text: `${table.judge}, against ${v.b}` }), h("span", { class: "badge missing", text: STATUS[v.status] ?? v.status })), reasons(v)));
    return [...lines, ...failed];
  });
}

function answerCard(task, model, texts) {
  const text = texts.answers?.[model];
  const body = text === undefined
    ? h("p", { class: "empty", text: !data.texts ? "This page was made without texts." : texts.split === "private" && !texts.messages ? "The task is private: its texts are left out." : "The files given hold no answer." })
    : text.trim() === "" ? h("p", { class: "empty", text: "The answer is empty." }) : words(text);
  return h("article", { class: "card answer", "aria-label": data.models[model] },
    h("header", {}, h("h4", { dir: "auto", text: data.models[model] }), text === undefined ? null : h("span", { class: "share", text: `${text.length.toLocaleString("en-US")} characters` })),
    h("div", { class: "said" }, body), h("div", { class: "said verdicts" }, scoreBlocks(task, model, texts), checklistBlocks(model, texts), pairBlocks(task, model, texts)));
}

function conversationOf(texts) {
  const messages = texts.messages ?? [];
  if (!messages.length) {
    const why = !data.texts ? "This page was made without texts." : texts.split === "private" ? "This task is private: its texts are left out." : "The conversation is not in the files given; --tasks adds it.";
    return [h("p", { class: "empty", text: why })];
  }
  const turn = ([role, text]) => h("div", { class: `said ${role}` }, h("p", { class: "role", text: role }), words(text, 4000));
  const earlier = messages.slice(0, -1), last = messages.at(-1);
  return [
    earlier.length ? h("details", { class: "earlier" }, h("summary", { text: `${earlier.length} earlier turn${earlier.length === 1 ? "" : "s"}` }), h("div", { class: "card" }, earlier.map(turn))) : null,
    h("div", { class: "card" }, turn(last)),
  ];
}

/** Which answers stand side by side at first: the link's model with the one it is compared with, else the best two. */
function openingModels(filters, texts) {
  const has = (model) => model !== null && model !== undefined && model >= 0;
  const ranking = data.tables[filters.t].rows.map((row) => row.model);
  const wanted = [filters.m, filters.a, filters.b === null ? null : data.models.indexOf(filters.b), ...ranking].filter(has);
  const answered = [...new Set(wanted)].filter((model) => texts.answers?.[model] !== undefined || rowsByModel.some((rows) => rows.has(model)));
  return new Set(answered.slice(0, 2));
}

let asked = 0; // the task that was asked for last is the one shown, however long another's texts take

async function showTask(query) {
  const turn = ++asked;
  const view = document.getElementById("view-task"), filters = readFilters(query);
  const id = new URLSearchParams(query).get("id"), task = data.tasks.id.indexOf(id);
  const back = h("a", { href: `#tasks?${writeFilters(filters)}`, text: "All tasks" });
  if (task < 0) {
    view.replaceChildren(h("h2", { tabindex: "-1", text: "No such task" }), h("p", { class: "empty", text: `This page has no task ${id ?? ""}. ` }, back));
    return;
  }
  view.setAttribute("aria-busy", "true");
  const texts = await textsFor(task);
  if (!current.includes(task)) current = ((await findTasks(filters)) ?? []).map((item) => item.task);
  if (turn !== asked) return;
  const list = current.includes(task) ? current : data.tasks.id.map((_, i) => i), at = list.indexOf(task);
  const link = (other, text) => other === undefined ? h("span", { class: "off", text }) : h("a", { href: `#task?id=${encodeURIComponent(data.tasks.id[other])}&${writeFilters(filters)}`, text });
  const facts = [
    ["id", data.tasks.id[task]], ["categories", hasTags ? data.tags.filter((_, i) => (data.tasks.tags[task] >> i) & 1).join(", ") : ""],
    ["difficulty", texts.difficulty], ["split", texts.split], ["intent", texts.intent],
  ].filter(([, value]) => value);
  const shown = openingModels(filters, texts), cards = h("div", { class: "cards side" });
  const models = [...new Set(data.tables.flatMap((table) => table.rows.map((row) => row.model)))];
  const chips = h("div", { class: "chips", role: "group", "aria-label": "Answers shown" });
  const paint = () => {
    cards.replaceChildren(...[...shown].map((model) => answerCard(task, model, texts)));
    for (const chip of chips.children) chip.setAttribute("aria-pressed", shown.has(+chip.dataset.m));
  };
  chips.append(...models.map((model) => {
    const score = rowsByModel[filters.t].get(model)?.scores[task] ?? null;
    return h("button", { type: "button", class: "chip", "data-m": model, onclick: () => { if (!shown.delete(model)) shown.add(model); paint(); } },
      data.models[model], score === null ? null : h("span", { class: "count", text: figure(score, score % 1 ? 1 : 0) }));
  }));
  paint();
  view.removeAttribute("aria-busy");
  view.replaceChildren(...[
    h("nav", { class: "steps", "aria-label": "Tasks" }, back, h("span", { class: "share", text: `${at + 1} of ${list.length}` }), link(list[at - 1], "Previous"), link(list[at + 1], "Next")),
    h("h2", { tabindex: "-1", dir: "auto", class: "task-title", text: taskName(task) }),
    h("dl", { class: "facts" }, facts.map(([name, value]) => h("div", {}, h("dt", { text: name }), h("dd", { dir: "auto", text: value })))),
    h("h3", { text: "Conversation" }), ...conversationOf(texts),
    ...(texts.checklist?.length ? [h("h3", { text: "Checklist" }), h("ul", { class: "checklist" }, texts.checklist.map((line) => h("li", { dir: "auto", text: line })))] : []),
    ...(texts.reference ? [h("h3", { text: "Reference answer" }), h("div", { class: "card" }, h("div", { class: "said" }, words(texts.reference)))] : []),
    h("h3", { text: "Answers side by side" }), h("p", { class: "help", text: "Choose whose answers are shown; the number is the judge's score." }), chips, cards,
  ].filter(Boolean));
}
