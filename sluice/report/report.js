// Draws the charts of the report, and lets mouse, finger and keyboard ask them. Whatever the rows' owners wrote reaches
// the page as text alone: as data of a chart, which is compiled without evaluating anything, or as textContent.
const book = JSON.parse(document.getElementById("charts").textContent);
const tip = document.getElementById("tip");
const said = document.getElementById("said");
const views = new Map();
const WIDE = 480;
const PAPER = { half: 318, whole: 668 }; // of an A4 page, in pixels
const ROOM = 200; // pixels for the names of a chart, less in a narrow one
const EVERYTHING = 100000;

function show(words, box) {
  tip.textContent = words;
  tip.hidden = false;
  const left = Math.min(Math.max(box.left + box.width / 2 - tip.offsetWidth / 2, 8), innerWidth - tip.offsetWidth - 8);
  const above = box.top - tip.offsetHeight - 8;
  tip.style.left = `${left + scrollX}px`;
  tip.style.top = `${(above > 60 ? above : box.bottom + 8) + scrollY}px`;
}

function hide() {
  tip.hidden = true;
}

function room(width) {
  return width < WIDE ? 0.46 * width : ROOM;
}

function tooltip(_handler, _event, item, words) {
  const mark = item?._svg;
  if (words && mark) show(words, mark.getBoundingClientRect());
  else hide();
}

async function draw(plot) {
  const { config, specs } = book;
  const options = { mode: "vega-lite", renderer: "svg", actions: false, ast: true, defaultStyle: false, logLevel: 1 };
  const { view } = await window.vegaEmbed(plot, specs[plot.dataset.chart], { ...options, config, tooltip });
  view.signal("room", room(plot.clientWidth));
  await view.runAsync();
  views.set(plot, view);
}

async function set(name, value, plots = [...views.keys()]) {
  for (const plot of plots) {
    const view = views.get(plot);
    await view.signal(name, value).runAsync();
    const { line } = book.specs[plot.dataset.chart].usermeta;
    await view.signal("height", Math.max(1, view.scale("y").domain().length) * line).runAsync();
  }
}

// A chart is one stop of the keyboard; the arrows go from mark to mark within it.
function walk(plot) {
  let at = -1;
  const leave = () => {
    plot.querySelector(".here")?.classList.remove("here");
    hide();
  };
  plot.addEventListener("keydown", (event) => {
    const marks = [...plot.querySelectorAll('[role="graphics-symbol"][aria-label]:not(.mark-group)')];
    const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -at, End: marks.length - 1 - at };
    if (event.key === "Escape") leave();
    if (!(event.key in steps) || !marks.length) return;
    event.preventDefault();
    leave();
    at = (at + steps[event.key] + marks.length) % marks.length;
    const mark = marks[at];
    mark.classList.add("here");
    mark.scrollIntoView({ block: "nearest" });
    show(mark.getAttribute("aria-label"), mark.getBoundingClientRect());
    said.textContent = mark.getAttribute("aria-label");
  });
  plot.addEventListener("blur", () => {
    at = -1;
    leave();
  });
}

// The picture of the flow is drawn without the library; its bands have the same words.
function point(picture) {
  for (const band of picture.querySelectorAll("path[aria-label]")) {
    band.addEventListener("pointerenter", () => show(band.getAttribute("aria-label"), band.getBoundingClientRect()));
    band.addEventListener("pointerleave", hide);
  }
}

function choose(chips) {
  chips.hidden = false;
  chips.addEventListener("click", (event) => {
    const chosen = event.target.closest("button");
    if (!chosen) return;
    for (const button of chips.querySelectorAll("button")) button.setAttribute("aria-pressed", button === chosen);
    set("tier", Number(chosen.dataset.tier));
    for (const band of document.querySelectorAll(".flow [data-tier]")) {
      const other = chosen.dataset.tier !== "-1" && band.dataset.tier !== chosen.dataset.tier;
      band.style.opacity = other ? 0.12 : "";
    }
  });
}

// The mark of a stand-in need not stand twice in view: it takes over where the banner has been scrolled away.
function mark(origin) {
  const banner = document.querySelector("header .banner");
  new IntersectionObserver(([seen]) => {
    origin.style.visibility = seen.isIntersecting ? "hidden" : "";
  }).observe(banner);
}

function control(controls) {
  const plots = [controls.closest("section").querySelector(".plot")];
  controls.hidden = false;
  controls.querySelector("[name=find]")?.addEventListener("input", (event) => set("find", event.target.value.trim().toLowerCase(), plots));
  controls.querySelector("[name=order]")?.addEventListener("change", (event) => set("order", event.target.value, plots));
  controls.querySelector("[name=all]")?.addEventListener("click", ({ currentTarget: button }) => {
    const all = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", all);
    set("limit", all ? EVERYTHING : Number(button.dataset.few), plots);
  });
}

// The rows to look at: some at once, so that the page stays short; what is typed is compared with their words alone.
function browse(bar) {
  const cards = [...bar.parentElement.querySelectorAll(".card")];
  const more = bar.parentElement.querySelector(".more");
  const page = Number(bar.dataset.page);
  const [words, label, which] = ["words", "label", "which"].map((name) => bar.querySelector(`[name=${name}]`));
  const texts = cards.map((card) => card.textContent.toLowerCase());
  let room = page;
  const show = () => {
    const found = cards.filter(
      ({ dataset }, n) =>
        texts[n].includes(words.value.trim().toLowerCase()) &&
        (!label.value || dataset.label === label.value) &&
        (!which.value || dataset.which.split(" ").includes(which.value)),
    );
    const shown = new Set(found.slice(0, room));
    for (const card of cards) card.hidden = !shown.has(card);
    more.hidden = shown.size === found.length;
    bar.querySelector(".found").textContent = `${shown.size} of ${found.length} rows`;
  };
  const again = () => {
    room = page;
    show();
  };
  words.addEventListener("input", again);
  label.addEventListener("change", again);
  which.addEventListener("change", again);
  more.querySelector("button").addEventListener("click", () => {
    const first = cards.filter((card) => !card.hidden).length;
    room += page;
    show();
    const next = cards.filter((card) => !card.hidden)[first];
    next.tabIndex = -1;
    next.focus();
  });
  bar.hidden = false;
  show();
}

// A printed page is narrower than the window; scaled down, the words of a chart would be too small to read.
function fit(width) {
  for (const [plot, view] of views) {
    const wide = width(plot);
    if (wide > 0) view.signal("width", wide).signal("room", room(wide)).run();
  }
}

const plots = [...document.querySelectorAll("[data-chart]")];
plots.forEach(walk);
document.querySelectorAll(".across").forEach((picture) => {
  walk(picture);
  point(picture);
});
document.querySelectorAll(".origin").forEach(mark);
document.querySelectorAll(".tiers").forEach(choose);
document.querySelectorAll(".controls").forEach(control);
document.querySelectorAll(".browse").forEach(browse);
addEventListener("scroll", hide, { passive: true });
addEventListener("resize", () => views.forEach((view, plot) => view.signal("room", room(plot.clientWidth)).runAsync()));
addEventListener("beforeprint", () => fit((plot) => (plot.closest(".pair > section:not(:only-child)") ? PAPER.half : PAPER.whole)));
addEventListener("afterprint", () => fit((plot) => plot.clientWidth));
await Promise.all(plots.map(draw));
document.documentElement.dataset.drawn = views.size;
