"use strict";
(() => {
  // A cell by its first number, or by its words; what is not known comes last either way.
  const key = (row, column) => {
    const text = row.cells[column] ? row.cells[column].textContent.trim() : "";
    const number = /^-?\d[\d\u00a0 ]*(\.\d+)?(e-?\d+)?/.exec(text);
    if (text === "" || text === "-") return { text, missing: true };
    return { text, number: number ? Number(number[0].replace(/[\u00a0 ]/g, "")) : NaN };
  };
  const compare = (a, b) => {
    if (!Number.isNaN(a.number) && !Number.isNaN(b.number) && a.number !== b.number) return a.number - b.number;
    return a.text.localeCompare(b.text, "en", { numeric: true });
  };
  const sort = (table, header) => {
    const down = header.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => ({ row, key: key(row, header.cellIndex) }));
    rows.sort((a, b) => {
      if (a.key.missing || b.key.missing) return (a.key.missing ? 1 : 0) - (b.key.missing ? 1 : 0);
      return down ? compare(b.key, a.key) : compare(a.key, b.key);
    });
    body.append(...rows.map((r) => r.row));
  };
  const tsv = (table) =>
    [...table.rows].map((row) => [...row.cells].map((cell) => cell.textContent.replaceAll("\u00a0", " ")).join("\t")).join("\n");
  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      const done = document.execCommand("copy");
      area.remove();
      return done;
    }
  };
  const button = (text) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    return made;
  };
  for (const table of document.querySelectorAll("table")) {
    for (const header of table.tHead.rows[0].cells) {
      const made = button(header.textContent);
      header.textContent = "";
      header.append(made);
      header.setAttribute("aria-sort", "none");
      made.addEventListener("click", () => sort(table, header));
    }
    const made = button("Copy");
    made.className = "copy";
    made.addEventListener("click", async () => {
      made.textContent = (await copy(tsv(table))) ? "Copied" : "Could not copy";
      setTimeout(() => { made.textContent = "Copy"; }, 1500);
    });
    table.closest(".table").prepend(made);
  }

  // The browser's own tips are slow and small: their words move into one of ours.
  const tip = document.createElement("div");
  tip.id = "tip";
  tip.hidden = true;
  tip.setAttribute("role", "status");
  document.body.append(tip);
  for (const spot of document.querySelectorAll(".spots rect")) {
    const title = spot.querySelector("title");
    spot.dataset.tip = title.textContent;
    title.remove();
  }
  const show = (event) => {
    const words = event.target.dataset ? event.target.dataset.tip : undefined;
    tip.hidden = words === undefined;
    if (tip.hidden) return;
    tip.textContent = words;
    const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 12, room))}px`;
    const below = event.clientY + 16 + tip.offsetHeight < window.innerHeight;
    tip.style.top = `${below ? event.clientY + 16 : event.clientY - tip.offsetHeight - 10}px`;
  };
  document.addEventListener("pointermove", show);
  document.addEventListener("pointerdown", show);
  document.addEventListener("scroll", () => { tip.hidden = true; }, { passive: true, capture: true });
  document.documentElement.classList.add("live");
})();
