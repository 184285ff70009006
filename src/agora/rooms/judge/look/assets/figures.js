// What the page computes: scores, rewards and differences for any selection of tasks and any length margin.
// Every figure here has a twin in Python (score_report, reward_report, paired_difference), which the tests compare.
const data = JSON.parse(document.getElementById("data").textContent);
const numTasks = data.tasks.id.length;
const groupMasks = data.groups.map(([, tags]) => tags.reduce((mask, tag) => mask | (1 << tag), 0));
const hasTags = data.tasks.tags.some((mask) => mask !== 0);

/** The tasks of "" (all), "g2" (a group) or "t5" (a category), as flags by position. */
function selection(key) {
  const mask = key === "" ? 0 : key[0] === "g" ? groupMasks[+key.slice(1)] : 1 << +key.slice(1);
  return Uint8Array.from(data.tasks.tags, (tags) => (key === "" || (tags & mask) !== 0 ? 1 : 0));
}

function selectionName(key) {
  if (key === "") return "All tasks";
  return key[0] === "g" ? data.groups[+key.slice(1)][0] : data.tags[+key.slice(1)];
}

/** Mean, n and standard error (n - 1 in the variance; null for fewer than two values). */
function meanOf(values) {
  const n = values.length;
  if (!n) return { mean: null, n, se: null };
  const mean = values.reduce((sum, x) => sum + x, 0) / n;
  const squares = values.reduce((sum, x) => sum + (x - mean) ** 2, 0);
  return { mean, n, se: n > 1 ? Math.sqrt(squares / (n - 1) / n) : null };
}

function scoreOf(row, chosen) {
  const { mean, n, se } = meanOf(row.scores.filter((score, task) => score !== null && chosen[task]));
  return { value: mean === null ? null : (mean - 5) * 2 * 10, n, se: se === null ? null : 20 * se };
}

/** Mean length of the scored answers that are not empty. */
function charsOf(row, chosen) {
  const scored = row.scores.some((score) => score !== null);
  return meanOf(row.chars.filter((n, task) => n && chosen[task] && (!scored || row.scores[task] !== null))).mean;
}

/** The weighted mean of the groups' scores; null unless every group has one. */
function macroOf(row, chosen) {
  let sum = 0, weights = 0;
  for (let g = 0; g < data.groups.length; g += 1) {
    const inGroup = chosen.map((on, task) => on && (data.tasks.tags[task] & groupMasks[g]) !== 0 ? 1 : 0);
    const { value } = scoreOf(row, inGroup);
    if (value === null) return null;
    sum += data.groups[g][2] * value;
    weights += data.groups[g][2];
  }
  return sum / weights;
}

/** One outcome after the length margin K: a slight win of an answer longer by over K characters is a tie. */
function afterMargin(value, gap, margin) {
  if (margin === null || gap === null || Math.abs(value) !== 0.5) return value;
  return (value > 0 ? gap : -gap) > margin ? 0 : value;
}

/** Mean outcome by task against one baseline. */
function outcomesOf(pairs, chosen, margin) {
  const found = new Map();
  pairs.task.forEach((task, i) => {
    if (!chosen[task]) return;
    const value = afterMargin(pairs.value[i], pairs.gap[i], margin);
    const [sum, n] = found.get(task) ?? [0, 0];
    found.set(task, [sum + value, n + 1]);
  });
  return new Map([...found].map(([task, [sum, n]]) => [task, sum / n]));
}

/** Rewards (times 100) against every baseline of the table, and their mix with its standard error. */
function rewardsOf(table, row, chosen, margin) {
  const name = data.models[row.model], shares = new Map(), by = {};
  let sum = 0, missing = false;
  for (const baseline of table.baselines) {
    if (baseline === name) {
      by[baseline] = { value: 0, n: 0, self: true };
      continue;
    }
    const outcomes = row.pairs[baseline] ? outcomesOf(row.pairs[baseline], chosen, margin) : new Map();
    const { mean, n } = meanOf([...outcomes.values()]);
    by[baseline] = { value: mean === null ? null : 100 * mean, n, self: false };
    if (mean === null) missing = true;
    else sum += 100 * mean;
    for (const [task, value] of outcomes)
      shares.set(task, (shares.get(task) ?? 0) + (value - mean) / n / table.baselines.length);
  }
  const n = shares.size;
  const squares = [...shares.values()].reduce((total, share) => total + share * share, 0);
  return {
    by,
    mix: missing || !table.baselines.length ? null : sum / table.baselines.length,
    se: missing || n < 2 ? null : 100 * Math.sqrt((squares * n) / (n - 1)),
  };
}

/** First minus second on the tasks that both have a score for; separable when |difference| > 1.96 standard errors. */
function differenceOf(first, second, chosen) {
  const gaps = [];
  first.scores.forEach((score, task) => {
    if (chosen[task] && score !== null && second.scores[task] !== null) gaps.push(score - second.scores[task]);
  });
  const { mean, n, se } = meanOf(gaps);
  if (mean === null) return { value: null, n, separable: false };
  const z = se === null ? null : se > 0 ? mean / se : mean === 0 ? 0 : Infinity;
  return { value: 20 * mean, n, separable: z !== null && Math.abs(z) > 1.96 };
}

const SCORE_SCALE = [-80, 100], REWARD_SCALE = [-100, 100];
function intervalOf(value, se, scale) {
  if (value === null || se === null) return null;
  return [Math.max(value - 1.96 * se, scale[0]), Math.min(value + 1.96 * se, scale[1])];
}

function figure(value, digits = 1) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const text = value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return (/[1-9]/.test(text) ? text : text.replace("-", "")).replace("-", "−");
}
