// Which view is shown: #board, #tasks?FILTERS, #task?id=ID&FILTERS.
function say(text) {
  document.getElementById("status").textContent = text;
}

let lastView = "board";
async function route() {
  const [name, query = ""] = location.hash.slice(1).split(/\?(.*)/s);
  const view = { tasks: "tasks", task: "task" }[name] ?? "board";
  for (const one of ["board", "tasks", "task"]) document.getElementById(`view-${one}`).hidden = one !== view;
  for (const link of document.querySelectorAll(".views a")) {
    const current = link.getAttribute("href") === `#${view === "board" ? "board" : "tasks"}`;
    if (current) link.setAttribute("aria-current", view === "task" ? "true" : "page");
    else link.removeAttribute("aria-current");
  }
  document.body.dataset.view = view;
  if (view === "tasks") await showTasks(query);
  if (view === "task") await showTask(query);
  if (view !== "board" || lastView !== "board") {
    window.scrollTo(0, 0);
    const target = view === "board" ? document.getElementById("main") : document.querySelector(`#view-${view} h2`);
    target?.focus({ preventScroll: true });
  }
  lastView = view;
}

document.querySelector(".views").hidden = false;
startBoard();
window.addEventListener("hashchange", route);
if (location.hash.length > 1) route();
document.body.dataset.ready = "true";
