// Wide tables (custom.css). On a phone one of a few columns becomes a card a row, with its heads as
// names; one of many scrolls in its own box, keeps its first column, and the keyboard reaches it.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  for (const table of document.querySelectorAll(".bd-article table:not(.shares)")) {
    if (table.scrollWidth > table.clientWidth) table.tabIndex = 0;
    const heads = table.tHead?.rows.length === 1 ? [...table.tHead.rows[0].cells] : [];
    const rows = [...table.tBodies].flatMap((body) => [...body.rows]);
    const few = heads.length > 3 && (heads.length < 9 || table.matches(".sortable"));
    if (!few || rows.some((row) => row.cells.length !== heads.length)) continue;
    table.classList.add("cards");
    table.setAttribute("role", "table"); // a card is drawn as a block, which would be none
    for (const row of rows) {
      row.setAttribute("role", "row");
      for (const [index, cell] of [...row.cells].entries()) {
        cell.setAttribute("role", cell.tagName === "TH" ? "rowheader" : "cell");
        cell.dataset.label = heads[index].textContent.trim();
        cell.classList.toggle("nothing", /^[–-]?$/.test(cell.textContent.trim()));
        cell.classList.toggle("later", index > 6);
      }
      if (heads.length < 8) continue;
      const button = document.createElement("button"); // seen on a phone alone
      button.className = "rest";
      button.type = "button";
      button.textContent = "more";
      button.addEventListener("click", () => {
        button.textContent = row.classList.toggle("whole") ? "less" : "more";
      });
      row.cells[0].append(button);
    }
  }
});
