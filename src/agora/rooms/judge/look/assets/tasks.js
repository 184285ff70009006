// The list of tasks: search, filters, order.
const PAGE = 50;
const OUTCOMES = { 1: "much better", 0.5: "slightly better", 0: "tie", "-0.5": "slightly worse", "-1": "much worse" };
const rowsByModel = data.tables.map((table) => new Map(table.rows.map((row) => [row.model, row])));

const SHOWS = {
  "": "All tasks",
  scored: "With a score",
  missing: "Without a score",
  low: "Score of 4 or less",
  high: "Score of 8 or more",
  judges: "Judges differ by 3 or more",
  spread: "Models differ by 5 or more",
  margin: "Outcome changed by the margin",
};
const SORTS = {
  "": "Benchmark order",
  low: "Lowest mean score first",
  high: "Highest mean score first",
  spread: "Widest spread between models first",
  judges: "Largest difference between judges first",
  gap: "Largest difference between the two models first",
};

/** The filters of a link; what is no filter of ours is dropped. */
function readFilters(query) {
  const given = new URLSearchParams(query);
  const index = (name, most) => {
    const text = given.get(name);
    return text !== null && /^\d+$/.test(text) && +text < most ? +text : null;
  };
  const group = given.get("g") ?? "";
  const t = index("t", data.tables.length) ?? 0;
  const b = given.get("b");
  return {
    q: given.get("q") ?? "",
    texts: given.get("texts") === "1" && data.texts !== null,
    g: /^g[0-4]$|^t\d$|^t1[01]$/.test(group) ? group : "",
    t,
    m: index("m", data.models.length),
    a: index("a", data.models.length),
    b: data.tables[t].baselines.includes(b) ? b : null,
    show: (given.get("show") ?? "") in SHOWS ? given.get("show") ?? "" : "",
    sort: (given.get("sort") ?? "") in SORTS ? given.get("sort") ?? "" : "",
  };
}

function writeFilters(filters) {
  const out = new URLSearchParams();
  for (const [name, value] of Object.entries(filters)) {
    if (value === null || value === "" || value === false || (name === "t" && value === 0)) continue;
    out.set(name, value === true ? "1" : value);
  }
  return out.toString();
}

function spreadOf(scores) {
  const known = scores.filter((score) => score !== null);
  return known.length ? Math.max(...known) - Math.min(...known) : null;
}

/** Largest difference between two judges on one answer; null where no answer has two scores. */
function disagreementOf(task, model) {
  let most = null;
  const models = model === null ? data.models.keys() : [model];
  for (const m of models) {
    const scores = rowsByModel.map((rows) => rows.get(m)?.scores[task] ?? null).filter((score) => score !== null);
    if (scores.length > 1) most = Math.max(most ?? 0, spreadOf(scores));
  }
  return most;
}

function pairIndexes(row, baseline, task) {
  const found = [];
  for (const [name, pairs] of Object.entries(row?.pairs ?? {})) {
    if (baseline !== null && name !== baseline) continue;
    pairs.task.forEach((t, i) => t === task && found.push([pairs, i]));
  }
  return found;
}

/** What a list knows of a task under its filters. */
function describe(task, filters) {
  const table = data.tables[filters.t];
  const scores = table.rows.map((row) => row.scores[task]);
  const { mean, n } = meanOf(scores.filter((score) => score !== null));
  const scoreBy = (model) => (model === null ? null : rowsByModel[filters.t].get(model)?.scores[task] ?? null);
  return { task, scores, mean, n, spread: spreadOf(scores), score: scoreBy(filters.m), against: scoreBy(filters.a) };
}

function passes(item, filters) {
  const { task } = item, row = filters.m === null ? null : rowsByModel[filters.t].get(filters.m);
  if (filters.b !== null && row && !pairIndexes(row, filters.b, task).length) return false;
  const scores = filters.m === null ? item.scores : [item.score];
  if (filters.a !== null && (item.score === null || item.against === null)) return false;
  switch (filters.show) {
    case "scored": return scores.some((score) => score !== null);
    case "missing": return scores.some((score) => score === null);
    case "low": return scores.some((score) => score !== null && score <= 4);
    case "high": return scores.some((score) => score !== null && score >= 8);
    case "judges": return (disagreementOf(task, filters.m) ?? 0) >= 3;
    case "spread": return (item.spread ?? 0) >= 5;
    case "margin":
      return (row ? [row] : data.tables[filters.t].rows).some((r) =>
        pairIndexes(r, filters.b, task).some(([p, i]) => afterMargin(p.value[i], p.gap[i], state.margin) !== p.value[i]));
    default: return true;
  }
}

function order(items, filters) {
  const keys = {
    low: (x) => x.mean, high: (x) => (x.mean === null ? null : -x.mean), spread: (x) => (x.spread === null ? null : -x.spread),
    judges: (x) => { const d = disagreementOf(x.task, filters.m); return d === null ? null : -d; },
    gap: (x) => (x.score === null || x.against === null ? null : -Math.abs(x.score - x.against)),
  };
  const key = keys[filters.sort];
  if (!key) return items;
  return items
    .map((x) => [key(x), x])
    .sort(([a, x], [b, y]) => (a === null) - (b === null) || (a ?? 0) - (b ?? 0) || x.task - y.task)
    .map(([, x]) => x);
}

let latest = 0;
/** Positions of the tasks that pass, in order; null when a newer search has begun. */
async function findTasks(filters, report = () => {}) {
  const turn = ++latest, chosen = selection(filters.g), q = filters.q.trim();
  let matches = null;
  if (q) {
    const pattern = new RegExp(q.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "iu");
    matches = new Set();
    data.tasks.id.forEach((id, task) => {
      if (pattern.test(id) || pattern.test(data.tasks.title[task] ?? "")) matches.add(task);
    });
    if (filters.texts) {
      for (let block = 0; block < data.texts.first.length; block += 1) {
        report(block / data.texts.first.length);
        const texts = await readBlock(block);
        if (turn !== latest) return null;
        texts.forEach((item, i) => {
          if (textsOf(item, filters.m).some((text) => pattern.test(text))) matches.add(data.texts.first[block] + i);
        });
      }
    }
  }
  const items = [];
  for (let task = 0; task < numTasks; task += 1) {
    if (!chosen[task] || (matches && !matches.has(task))) continue;
    const item = describe(task, filters);
    if (passes(item, filters)) items.push(item);
  }
  return turn === latest ? order(items, filters) : null;
}

function textsOf(item, model) {
  const said = (item.verdicts ?? []).filter((v) => model === null || v.m === model).map((v) => `${JSON.stringify(v.said ?? "")} ${v.raw ?? ""}`);
  const answers = Object.entries(item.answers ?? {}).filter(([m]) => model === null || +m === model).map(([, text]) => text);
  return [...(item.messages ?? []).map(([, text]) => text), ...(item.checklist ?? []), ...answers, ...said];
}

function options(choices, value) {
  return choices.map(([key, text]) => h("option", { value: key, selected: String(key) === String(value ?? ""), text }));
}

function field(label, control, id) {
  control.id = id;
  return h("div", { class: "field" }, h("label", { for: id, text: label }), control);
}

/** The task's name in lists: the beginning of its request, or its id. */
const taskName = (task) => data.tasks.title[task] ?? `Task ${data.tasks.id[task]}`;
const categoryOf = (task) => (data.tasks.primary[task] === null ? null : data.tags[data.tasks.primary[task]]);

function scoreStrip(scores) {
  const ns = "http://www.w3.org/2000/svg", svg = document.createElementNS(ns, "svg");
  svg.setAttribute("class", "dots");
  svg.setAttribute("aria-hidden", "true");
  const heights = new Map();
  for (const score of scores) {
    if (score === null) continue;
    const level = heights.get(score) ?? 0;
    heights.set(score, level + 1);
    const dot = document.createElementNS(ns, "circle");
    dot.setAttribute("cx", `${5 + (score - 1) * 10}%`);
    dot.setAttribute("cy", `${90 - Math.min(level, 9) * 9}%`);
    dot.setAttribute("r", "2");
    svg.append(dot);
  }
  return svg;
}

function taskRow(item, filters, columns) {
  const { task } = item, category = categoryOf(task), open = `#task?id=${encodeURIComponent(data.tasks.id[task])}&${writeFilters(filters)}`;
  const cells = {
    category: () => h("td", { class: category ? "" : "missing", text: category ?? "–" }),
    score: () => h("td", { class: "right", text: item.score === null ? "–" : figure(item.score, item.score % 1 ? 1 : 0) }),
    against: () => h("td", { class: "right", text: item.against === null ? "–" : figure(item.against, item.against % 1 ? 1 : 0) }),
    outcome: () => h("td", {}, outcomeText(filters, task)),
    mean: () => h("td", { class: "right", text: figure(item.mean) }),
    scores: () => h("td", {}, scoreStrip(item.scores), h("span", { class: "sr-only", text: `${item.n} scores, spread ${figure(item.spread, 0)}` })),
  };
  return h("tr", {}, h("th", { scope: "row", dir: "auto" }, h("a", { href: open, text: taskName(task) })), columns.map(([key]) => cells[key]()));
}

function outcomeText(filters, task) {
  const row = rowsByModel[filters.t].get(filters.m);
  return pairIndexes(row, filters.b, task).map(([pairs, i], at) => {
    const before = pairs.value[i], after = afterMargin(before, pairs.gap[i], state.margin);
    return h("span", { class: "outcome" }, at ? " / " : "", OUTCOMES[after], after !== before ? h("span", { class: "was", text: ` (${OUTCOMES[before]} without K)` }) : null);
  });
}

function listColumns(filters) {
  const table = data.tables[filters.t], withScores = table.rows.some((row) => row.scores.some((s) => s !== null));
  const columns = [];
  if (hasTags) columns.push(["category", "Category", ""]);
  if (filters.m !== null && withScores) columns.push(["score", data.models[filters.m], "right"]);
  if (filters.a !== null && withScores) columns.push(["against", data.models[filters.a], "right"]);
  if (filters.b !== null && filters.m !== null) columns.push(["outcome", `${data.models[filters.m]} against ${filters.b}`, ""]);
  if (withScores) columns.push(["mean", "Mean score", "right"], ["scores", "Scores, 1 to 10", ""]);
  return columns;
}

let current = []; // positions of the tasks last listed: what "next" and "previous" walk through
let debounce = 0;

function filterForm(filters, change) {
  const set = (name, read) => (event) => change({ ...filters, [name]: read(event.target) });
  const number = (element) => (element.value === "" ? null : +element.value);
  const models = [["", "All models"], ...data.models.map((name, i) => [i, name])];
  const table = data.tables[filters.t];
  const search = h("input", { type: "search", value: filters.q, autocomplete: "off", spellcheck: "false", oninput: (event) => {
    clearTimeout(debounce);
    debounce = setTimeout(() => change({ ...filters, q: event.target.value }, "q"), 250);
  } });
  const shows = Object.entries(SHOWS).filter(([key]) => (key !== "judges" || data.tables.length > 1) && (key !== "margin" || table.baselines.length));
  const sorts = Object.entries(SORTS).filter(([key]) => (key !== "judges" || data.tables.length > 1) && (key !== "gap" || filters.a !== null));
  const groups = h("select", { onchange: set("g", (e) => e.value) }, [...document.getElementById("group").children].map((child) => child.cloneNode(true)));
  groups.value = filters.g;
  return h("form", { class: "controls", role: "search", onsubmit: (event) => event.preventDefault() },
    h("div", { class: "field wide" }, field("Search", search, "q"),
      data.texts ? h("label", { class: "check" }, h("input", { type: "checkbox", id: "texts", checked: filters.texts, onchange: set("texts", (e) => e.checked) }), " also in conversations, answers and reasons") : null),
    hasTags ? field("Category", groups, "filter-group") : null,
    data.tables.length > 1 ? field("Judge", h("select", { onchange: (event) => change({ ...filters, t: +event.target.value, b: null }) }, options(data.tables.map((t, i) => [i, t.judge]), filters.t)), "filter-judge") : null,
    field("Model", h("select", { onchange: set("m", number) }, options(models, filters.m)), "filter-model"),
    table.baselines.length && filters.m !== null ? field("Compared with", h("select", { onchange: set("b", (e) => e.value || null) }, options([["", "–"], ...table.baselines.map((b) => [b, b])], filters.b)), "filter-baseline") : null,
    field("Show", h("select", { onchange: set("show", (e) => e.value) }, options(shows, filters.show)), "filter-show"),
    field("Order", h("select", { onchange: set("sort", (e) => e.value) }, options(sorts, filters.sort)), "filter-sort"));
}

/** Show the list for a link's filters. */
async function showTasks(query) {
  const filters = readFilters(query), view = document.getElementById("view-tasks"), focused = document.activeElement?.id;
  const caret = focused === "q" ? document.activeElement.selectionStart : null;
  const change = (next) => history.replaceState(null, "", `#tasks?${writeFilters(next)}`) ?? showTasks(writeFilters(next));
  const heading = h("h2", { id: "tasks-heading", tabindex: "-1", text: "Tasks" });
  const out = h("div", { id: "task-list" });
  view.replaceChildren(heading, filterForm(filters, change), out);
  if (focused && view.querySelector(`#${CSS.escape(focused)}`)) {
    const again = view.querySelector(`#${CSS.escape(focused)}`);
    again.focus();
    if (caret !== null) again.setSelectionRange(caret, caret);
  }
  if (filters.q && filters.texts) out.append(h("p", { class: "empty", text: "Reading the texts…" }));
  const items = await findTasks(filters);
  if (items === null) return;
  current = items.map((item) => item.task);
  const columns = listColumns(filters);
  const count = `${items.length.toLocaleString("en-US")} of ${numTasks.toLocaleString("en-US")} tasks`;
  say(count);
  if (!items.length) {
    out.replaceChildren(h("div", { class: "nothing" }, h("p", { text: "No task passes these filters." }),
      h("button", { type: "button", onclick: () => change(readFilters("")), text: "Clear all filters" })));
    return;
  }
  const body = h("tbody");
  const table = h("table", { class: "tasks" }, h("caption", { text: count }),
    h("thead", {}, h("tr", {}, h("th", { scope: "col", text: "Task" }), columns.map(([, title, align]) => h("th", { scope: "col", class: align, text: title })))), body);
  const more = h("button", { type: "button", class: "more" });
  const add = () => {
    const from = body.children.length;
    body.append(...items.slice(from, from + PAGE).map((item) => taskRow(item, filters, columns)));
    const left = items.length - body.children.length;
    more.hidden = left <= 0;
    more.textContent = `Show ${Math.min(PAGE, left)} more`;
    if (from) body.children[from].querySelector("a").focus();
  };
  more.addEventListener("click", add);
  add();
  out.replaceChildren(h("div", { class: "scroll", role: "region", "aria-label": "Tasks", tabindex: "0" }, table), more);
}
