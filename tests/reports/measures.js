const seen = {};
const width = document.documentElement.clientWidth;
const box = (e) => e.getBoundingClientRect();
const all = [...document.querySelectorAll("body *")].filter((e) => box(e).width > 0 && box(e).height > 0);
const named = (e) => `${e.tagName.toLowerCase()}.${e.getAttribute("class") ?? ""}`;
seen.width = width;
// A table may scroll in a box of its own.
const outside = (e) => !e.parentElement.closest(".scroll") && (box(e).right > width + 1 || box(e).left < -1);
seen.wide = all.filter(outside).map(named);
const rolls = (e) => ["auto", "scroll"].includes(getComputedStyle(e).overflowX) && e.scrollWidth > e.clientWidth + 1;
seen.rolls = all.filter((e) => rolls(e) && !e.matches(".scroll")).map(named);
seen.headline_rolls = all.filter((e) => rolls(e) && e.closest(".headline")).map(named);
// Height of letters as they are shown: those of a chart are as much larger or smaller as the chart.
const letters = (e) => parseFloat(getComputedStyle(e).fontSize) * (e.getScreenCTM ? e.getScreenCTM().a : 1);
const says = (e) => [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.textContent.trim() !== "");
const texts = all.filter((e) => says(e) && !["script", "style"].includes(e.localName));
seen.smallest = Math.min(...texts.map(letters));
seen.charts = all.filter((e) => e.matches("svg.chart")).length;
seen.figures = all.filter((e) => e.matches("figure")).length;
seen.bottoms = {};
for (const part of [".answer", ".headline", ".decisive", "figure.lead svg.chart"]) {
  const shown = all.find((e) => e.matches(part));
  seen.bottoms[part] = shown ? box(shown).bottom : null;
}
const out = window.parent.document.createElement("pre");
out.id = "seen";
out.textContent = JSON.stringify(seen);
// A page in a frame says it to the page around it.
window.parent.document.body.append(out);
