// The leaderboard: the numbers, bars and ranks of the tables that are in the page already.
const state = { group: "", margin: data.margin, sort: data.tables.map(() => ({ key: "rank", up: true })) };
const NO_MARGIN = 31, STEP = 100; // the slider's last place is no margin; each place before it is 100 characters

/** Make an element. Text is set as text: nothing that a model wrote is ever read as markup. */
function h(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "text") element.textContent = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

const cellOf = (tr, key) => [...tr.children].find((cell) => cell.dataset.c === key);

function place(value, axis) {
  const at = Math.min(Math.max(value, axis[0]), axis[1]);
  return `${(3 + (94 * (at - axis[0])) / (axis[1] - axis[0])).toFixed(2)}%`;
}

/** Write a figure, its bounds and its bar into a cell that the page was written with. */
function fill(cell, value, interval = null, axis = null, digits = 1) {
  if (!cell) return;
  if (value === null) delete cell.dataset.value;
  else cell.dataset.value = value;
  const shown = cell.querySelector(".estimate, .missing") ?? cell;
  shown.textContent = figure(value, digits);
  const bounds = cell.querySelector(".bounds"), bar = cell.querySelector(".bar");
  if (bounds) bounds.textContent = interval ? `${figure(interval[0], digits)} to ${figure(interval[1], digits)}` : "";
  if (!bar) return;
  bar.toggleAttribute("hidden", value === null);
  if (value === null) return;
  const [low, high] = interval ?? [value, value];
  const range = bar.querySelector(".range"), zero = bar.querySelector(".zero");
  range.setAttribute("x1", place(low, axis));
  range.setAttribute("x2", place(high, axis));
  bar.querySelector("circle").setAttribute("cx", place(value, axis));
  zero.toggleAttribute("hidden", axis[0] > 0 || axis[1] < 0);
  for (const end of ["x1", "x2"]) zero.setAttribute(end, place(0, axis));
}

/** One axis for a column, which keeps what it shows at first and grows when a selection needs it. */
function axisFor(element, key, ends) {
  const base = element.dataset[`axis${key}`].split(" ").map(Number);
  return [Math.min(base[0], ...ends), Math.max(base[1], ...ends)];
}

function figuresOf(table, chosen) {
  return table.rows.map((row) => {
    const score = row.ranked ? scoreOf(row, chosen) : { ...scoreOf(row, chosen), value: null, se: null };
    const rewards = rewardsOf(table, row, chosen, state.margin);
    return {
      row,
      score,
      macro: row.ranked && state.group === "" && hasTags ? macroOf(row, chosen) : null,
      rewards,
      chars: charsOf(row, chosen),
    };
  });
}

function refreshBoard(element) {
  const number = +element.dataset.table, table = data.tables[number], chosen = selection(state.group);
  const size = state.group === "" ? table.size : chosen.reduce((sum, on) => sum + on, 0);
  const all = figuresOf(table, chosen);
  const ends = (get, se, scale) => all.flatMap((f) => (get(f) === null ? [] : intervalOf(get(f), se(f), scale) ?? [get(f)]));
  const axes = {
    score: axisFor(element, "Score", ends((f) => f.score.value, (f) => f.score.se, SCORE_SCALE)),
    mix: axisFor(element, "Mix", ends((f) => f.rewards.mix, (f) => f.rewards.se, REWARD_SCALE)),
  };
  const value = (f) => (!f.row.ranked ? null : table.by === "score" ? f.score.value : f.rewards.mix);
  const byValue = all.filter((f) => value(f) !== null).sort((a, b) => value(b) - value(a));
  const ranks = new Map(byValue.map((f, i) => [f.row, i + 1]));
  for (const f of all) {
    const tr = element.querySelector(`tbody tr[data-m="${f.row.model}"]`), hash = linkState(number, f.row.model);
    f.rank = ranks.get(f.row) ?? null;
    f.tr = tr;
    cellOf(tr, "rank").textContent = f.rank ?? "–";
    for (const key of ["range", "own"]) // known for all tasks at the page's first margin only
      cellOf(tr, key)?.firstElementChild.toggleAttribute("hidden", state.group !== "" || state.margin !== data.margin);
    fill(cellOf(tr, "score"), f.score.value, intervalOf(f.score.value, f.score.se, SCORE_SCALE), axes.score);
    fill(cellOf(tr, "macro"), f.macro);
    fill(cellOf(tr, "mix"), f.rewards.mix, intervalOf(f.rewards.mix, f.rewards.se, REWARD_SCALE), axes.mix);
    for (const [baseline, reward] of Object.entries(f.rewards.by)) {
      const cell = cellOf(tr, `b:${baseline}`);
      if (!reward.self) fill(cell, reward.value);
      cell.querySelector("a")?.setAttribute("href", `${hash}&b=${encodeURIComponent(baseline)}`);
    }
    const counted = cellOf(tr, "n");
    if (f.score.n || counted.querySelector("a")) {
      fill(counted, f.score.n, null, null, 0);
      counted.querySelector(".share").textContent = size ? `${figure((100 * f.score.n) / size)} %` : "";
      counted.querySelector("a")?.setAttribute("href", `${hash}&show=missing`);
    }
    cellOf(tr, "score")?.querySelector("a")?.setAttribute("href", `${hash}&show=scored`);
    fill(cellOf(tr, "chars"), f.chars, null, null, 0);
  }
  sortRows(element, all, state.sort[number]);
  const parts = [];
  if (state.group) parts.push(`${selectionName(state.group)}: ${size.toLocaleString("en-US")} tasks`);
  if (table.baselines.length) parts.push(state.margin === null ? "no length margin" : `length margin K = ${state.margin}`);
  element.querySelector(".selection").textContent = parts.length ? ` (${parts.join(", ")})` : "";
}

function linkState(table, model) {
  return `#tasks?t=${table}&m=${model}${state.group ? `&g=${state.group}` : ""}`;
}

function sortRows(element, all, { key, up }) {
  const value = (f) => {
    if (key === "rank") return f.rank ?? (f.rewards.mix === null ? null : 1e6 - f.rewards.mix);
    if (key === "name") return data.models[f.row.model].toLowerCase();
    if (key === "score") return f.score.value;
    if (key === "mix") return f.rewards.mix;
    if (key === "n") return f.score.n;
    if (key.startsWith("b:")) return f.rewards.by[key.slice(2)].value;
    return f[key];
  };
  const rows = all.map((f, i) => [value(f), i, f.tr]);
  rows.sort(([a, i], [b, j]) => {
    if (a === null || b === null) return (a === null) - (b === null) || i - j; // what is missing stays last
    return (a < b ? -1 : a > b ? 1 : 0) * (up ? 1 : -1) || i - j;
  });
  element.tBodies[0].append(...rows.map(([, , tr]) => tr));
  for (const head of element.querySelectorAll("th[data-sort]"))
    head.setAttribute("aria-sort", head.dataset.sort === key ? (up ? "ascending" : "descending") : "none");
}

function makeSortable(element) {
  const number = +element.dataset.table;
  for (const head of element.querySelectorAll("th[data-sort]")) {
    const button = h("button", { type: "button", class: "sort" }, ...head.childNodes);
    button.addEventListener("click", () => {
      const now = state.sort[number], key = head.dataset.sort;
      const first = key === "rank" || key === "name"; // names and ranks start from the top, figures from the best
      state.sort[number] = { key, up: now.key === key ? !now.up : first };
      refreshBoard(element);
      say(`Sorted by ${head.textContent.trim()}, ${state.sort[number].up ? "ascending" : "descending"}.`);
    });
    head.append(button);
  }
}

function refreshPairs(element) {
  const table = data.tables[+element.dataset.table], chosen = selection(state.group);
  const rows = new Map(table.rows.map((row) => [row.model, row]));
  let sure = 0, total = 0;
  for (const cell of element.querySelectorAll("td[data-a]")) {
    const found = differenceOf(rows.get(+cell.dataset.a), rows.get(+cell.dataset.b), chosen);
    cell.querySelector("a").textContent = figure(found.value);
    cell.querySelector("a").href =
      `#tasks?t=${element.dataset.table}&m=${cell.dataset.a}&a=${cell.dataset.b}&sort=gap${state.group ? `&g=${state.group}` : ""}`;
    cell.classList.toggle("sure", found.separable);
    cell.querySelector(".sr-only")?.remove();
    if (!found.separable) cell.append(h("span", { class: "sr-only", text: " not separable" }));
    sure += found.separable;
    total += found.value !== null;
  }
  const lead = document.querySelector(`.separable[data-table="${element.dataset.table}"] strong`);
  lead.textContent = `${sure} of ${total}`;
}

const refreshBoards = () => document.querySelectorAll("table.board").forEach(refreshBoard);

function refreshAll() {
  refreshBoards();
  document.querySelectorAll("table.pairs").forEach(refreshPairs);
}

/** Buttons that pick out models in the profile of groups; the first two of the ranking at first. */
function makeProfile(figureElement) {
  const table = data.tables[+figureElement.dataset.table], chips = figureElement.querySelector(".chips");
  const colors = new Map(), shown = new Set([...figureElement.querySelectorAll("g")].map((g) => +g.dataset.m));
  const paint = () => {
    for (const g of figureElement.querySelectorAll("g")) {
      const color = colors.get(+g.dataset.m);
      g.setAttribute("class", color === undefined ? "" : `on color-${color}`);
      if (color !== undefined) g.parentNode.append(g);
    }
    for (const chip of chips.children) {
      const color = colors.get(+chip.dataset.m);
      chip.setAttribute("aria-pressed", color !== undefined);
      chip.className = `chip${color === undefined ? "" : ` color-${color}`}`;
    }
  };
  const toggle = (model) => {
    if (colors.has(model)) colors.delete(model);
    else {
      if (colors.size === 4) colors.delete(colors.keys().next().value);
      colors.set(model, [0, 1, 2, 3].find((c) => ![...colors.values()].includes(c)));
    }
    paint();
  };
  const models = table.rows.map((row) => row.model).filter((model) => shown.has(model));
  chips.append(
    ...models.map((model) =>
      h("button", { type: "button", class: "chip", "data-m": model, "aria-pressed": "false", onclick: () => toggle(model), text: data.models[model] }),
    ),
  );
  models.slice(0, 2).forEach(toggle);
}

function setMargin(margin) {
  state.margin = margin;
  const slider = document.getElementById("margin"), number = document.getElementById("margin-number");
  slider.value = margin === null ? NO_MARGIN : Math.min(Math.round(margin / STEP), NO_MARGIN - 1);
  slider.setAttribute("aria-valuetext", margin === null ? "no margin" : `${margin} characters`);
  if (document.activeElement !== number) number.value = margin === null ? "" : margin;
  refreshBoards(); // differences of scores do not depend on the margin
}

function startBoard() {
  const form = document.querySelector(".controls"), group = document.getElementById("group");
  const slider = document.getElementById("margin"), number = document.getElementById("margin-number");
  const lengths = data.tables.every((t) => t.rows.every((r) => Object.values(r.pairs).every((p) => !p.gap.includes(null))));
  form.hidden = !slider && !hasTags;
  form.addEventListener("submit", (event) => event.preventDefault());
  if (!hasTags) group.closest(".field").hidden = true;
  group.addEventListener("change", () => {
    state.group = group.value;
    refreshAll();
    say(`${selectionName(state.group)} shown.`);
  });
  document.querySelectorAll("table.board").forEach(makeSortable);
  document.querySelectorAll(".profile").forEach(makeProfile);
  if (!slider) return refreshAll();
  if (!lengths) {
    slider.disabled = number.disabled = true;
    document.getElementById("margin-help").textContent = "Some answers' lengths are unknown, so no margin can be applied.";
  }
  slider.addEventListener("input", () => setMargin(+slider.value === NO_MARGIN ? null : +slider.value * STEP));
  number.addEventListener("input", () => {
    const given = number.value.trim();
    if (given === "" || (number.checkValidity() && Number.isInteger(+given))) setMargin(given === "" ? null : +given);
  });
  setMargin(state.margin);
  document.querySelectorAll("table.pairs").forEach(refreshPairs);
  return undefined;
}
