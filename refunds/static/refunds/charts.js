/* Draws each canvas[data-chart] from the table that it names, so that chart and table can never differ. */
const SERIES = ["#2b7fd0", "#d97f14", "#2f9e68", "#9a6ad6", "#d0487f", "#18a0b0", "#8a8f98"];
const LINE = 22; // letters of a label until it breaks
const drawn = [];
const known = new Map(); // a gateway keeps its colour from chart to chart

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function paint(chart) {
  const isDark = document.documentElement.classList.contains("dark");
  const ink = colour(isDark ? "--color-base-300" : "--color-base-600");
  const line = colour(isDark ? "--color-base-700" : "--color-base-200");
  for (const scale of Object.values(chart.options.scales)) {
    scale.ticks.color = scale.title.color = ink;
    scale.grid.color = line;
  }
  chart.options.plugins.legend.labels.color = ink;
  chart.update("none");
}

function colourOf(name, number, byDay) {
  if (!byDay) return SERIES[number % SERIES.length];
  if (!known.has(name)) known.set(name, SERIES[known.size % SERIES.length]);
  return known.get(name);
}

/* A long label stands in several lines. */
function lines(label) {
  const found = [""];
  for (const word of label.split(" ")) {
    if (found.at(-1) && `${found.at(-1)} ${word}`.length > LINE) found.push(word);
    else found.push(`${found.pop()} ${word}`.trim());
  }
  return found;
}

function read(table, byDay) {
  const rows = [...table.tBodies[0].rows];
  const series = [...table.tHead.rows[0].cells]
    .map((head, place) => ({ head, place }))
    .filter(({ place }) => rows[0].cells[place].dataset.value !== undefined)
    .map(({ head, place }, number) => ({
      label: head.textContent,
      data: rows.map((row) => Number(row.cells[place].dataset.value)),
      texts: rows.map((row) => row.cells[place].textContent),
      backgroundColor: colourOf(head.textContent, number, byDay),
      maxBarThickness: 28,
    }));
  const labels = rows.map((row) => row.cells[0].textContent);
  return { labels: byDay ? labels : labels.map(lines), datasets: series };
}

function draw(canvas) {
  const byDay = canvas.dataset.chart === "days";
  const data = read(document.getElementById(canvas.dataset.table), byDay);
  const names = { ticks: { autoSkip: byDay, maxRotation: 0 }, grid: { display: false }, title: {}, stacked: byDay };
  const numbers = {
    beginAtZero: true,
    stacked: byDay,
    ticks: { precision: data.datasets.every((one) => one.data.every(Number.isInteger)) ? 0 : undefined },
    grid: {},
    title: { display: true, text: canvas.dataset.unit },
    max: canvas.dataset.most ? Number(canvas.dataset.most) : undefined,
  };
  drawn.push(
    new Chart(canvas, {
      type: "bar",
      data,
      options: {
        animation: false,
        responsive: true,
        maintainAspectRatio: false,
        indexAxis: byDay ? "x" : "y",
        scales: byDay ? { x: names, y: numbers } : { y: names, x: numbers },
        plugins: {
          legend: { display: data.datasets.length > 1 || byDay, align: "start", labels: { boxWidth: 12, boxHeight: 12 } },
          tooltip: {
            callbacks: { label: ({ dataset, dataIndex }) => `${dataset.label}: ${dataset.texts[dataIndex]}` },
            filter: ({ raw }) => raw !== 0,
          },
        },
      },
    }),
  );
  paint(drawn.at(-1));
}

Chart.defaults.font.family = "Inter, sans-serif";
document.querySelectorAll("canvas[data-chart]").forEach(draw);
new MutationObserver(() => drawn.forEach(paint)).observe(document.documentElement, { attributeFilter: ["class"] });
