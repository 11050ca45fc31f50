const seen = {};
const violations = [];
document.addEventListener("securitypolicyviolation", (e) => violations.push(e.blockedURI));
const table = [...document.querySelectorAll("#steps table")][0];
const header = [...table.tHead.rows[0].cells].find((c) => c.textContent.startsWith("tokens/s"));
const column = () => [...table.tBodies[0].rows].map((r) => r.cells[header.cellIndex].textContent);
header.querySelector("button").click();
seen.ascending = column();
seen.sort = header.getAttribute("aria-sort");
header.querySelector("button").click();
seen.descending = column();
seen.sorted = header.getAttribute("aria-sort");
seen.others = [...table.tHead.rows[0].cells].filter((c) => c.getAttribute("aria-sort") !== "none").length;
seen.copies = document.querySelectorAll("button.copy").length;
seen.tables = document.querySelectorAll("table").length;
Object.defineProperty(navigator, "clipboard", { value: { writeText: async (text) => { seen.copied = text; } } });
table.closest(".table").querySelector("button.copy").click();
const tip = document.getElementById("tip");
seen.hidden = tip.hidden;
const spots = document.querySelectorAll("svg.chart .spots rect");
seen.spots = spots.length;
spots[0].dispatchEvent(new PointerEvent("pointermove", { bubbles: true, clientX: 60, clientY: 60 }));
seen.tip = tip.hidden ? null : tip.textContent;
document.body.dispatchEvent(new PointerEvent("pointermove", { bubbles: true, clientX: 1, clientY: 1 }));
seen.gone = tip.hidden;
seen.wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
// Words of a chart, where the browser puts them.
seen.clashes = [];
for (const svg of document.querySelectorAll("svg.chart")) {
  const frame = svg.getBoundingClientRect();
  const words = [...svg.querySelectorAll("text")].map((t) => [t.textContent.trim(), t.getBoundingClientRect()]);
  words.forEach(([a, box], i) => {
    if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1) {
      seen.clashes.push(`${a} is clipped`);
    }
    for (const [b, other] of words.slice(i + 1)) {
      const apart = box.right <= other.left + 1 || other.right <= box.left + 1
        || box.bottom <= other.top + 3 || other.bottom <= box.top + 3;
      if (!apart) seen.clashes.push(`${a} on ${b}`);
    }
  });
}
seen.requests = performance.getEntriesByType("resource").length;
fetch("http://127.0.0.1:9/").catch(() => {}).finally(() => setTimeout(() => {
  seen.violations = violations;
  const out = document.createElement("pre");
  out.id = "seen";
  out.textContent = JSON.stringify(seen);
  document.body.append(out);
}, 300));
