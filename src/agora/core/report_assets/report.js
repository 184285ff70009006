(() => {
  "use strict";
  const themes = JSON.parse(document.getElementById("chart-themes").textContent);
  const scheme = window.matchMedia("(prefers-color-scheme: dark)");
  const drawn = new Map();

  function still(figure) {
    const holder = document.createElement("template");
    holder.innerHTML = figure.querySelector("noscript").textContent;
    return holder.content.firstElementChild;
  }

  async function draw(figure) {
    const plot = figure.querySelector(".plot");
    const spec = JSON.parse(figure.querySelector("script").textContent);
    const theme = scheme.matches ? "dark" : "light";
    try {
      const result = await window.vegaEmbed(plot, spec, {
        mode: "vega-lite", renderer: "svg", actions: false, config: themes[theme], tooltip: { theme },
      });
      drawn.get(figure)?.finalize();
      drawn.set(figure, result);
    } catch (error) {
      // A chart that cannot be drawn is still shown as the picture made when the report was written.
      console.warn(`chart ${figure.id} is shown as a picture:`, error);
      plot.replaceChildren(still(figure));
    }
  }

  const figures = [...document.querySelectorAll("figure.chart")];
  for (const figure of figures) {
    const picture = still(figure);
    picture.classList.add("for-print");
    figure.append(picture);
  }
  const drawAll = () => Promise.all(figures.map(draw));
  scheme.addEventListener("change", drawAll);
  drawAll();
})();
