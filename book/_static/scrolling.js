// Wide tables (custom.css). One that scrolls in its own box is reached by the keyboard, and keeps its
// first column; on a phone one of four columns or more becomes a card a row, with its heads as names.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  for (const table of document.querySelectorAll(".bd-article table")) {
    if (table.scrollWidth > table.clientWidth) table.tabIndex = 0;
    const heads = table.tHead?.rows.length === 1 ? [...table.tHead.rows[0].cells] : [];
    const rows = [...table.tBodies].flatMap((body) => [...body.rows]);
    if (heads.length < 4 || rows.some((row) => row.cells.length !== heads.length)) continue;
    table.classList.add("cards");
    table.setAttribute("role", "table"); // a card is drawn as a block, which would be none
    for (const row of rows) {
      row.setAttribute("role", "row");
      for (const [index, cell] of [...row.cells].entries()) {
        cell.setAttribute("role", cell.tagName === "TH" ? "rowheader" : "cell");
        cell.dataset.label = heads[index].textContent.trim();
        cell.classList.toggle("nothing", /^[–-]?$/.test(cell.textContent.trim()));
      }
    }
  }
});
