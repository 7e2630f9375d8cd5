/* Tables of class "sortable": a heading sorts by its column. A class "choose-verdict" adds a menu of
   the values in the column "verdict", and a field for words that rows must have. The view is kept in
   the address after #, so that it can be bookmarked. Without this script they are plain tables. */
"use strict";

(() => {
  const EMPTY = new Set(["", "–"]);

  const text = (row, column) => (row.cells[column]?.textContent ?? "").trim().replace(/\s+/g, " ");

  /* "−0.12 [−0.2, −0.05]" as −0.12, "1,134" as 1134, "461 k (0.34%)" as 461000. */
  const number = (value) => {
    const plain = value.replace("−", "-").replaceAll(",", "");
    const unit = plain.match(/^[+-]?[\d.]+ ([kM])\b/)?.[1];
    return Number.parseFloat(plain) * ({ k: 1e3, M: 1e6 }[unit] ?? 1);
  };

  const make = (name, attributes = {}, ...children) => {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  };

  /* Numbers by size, everything else by the alphabet, empty cells last in both directions. */
  const compare = (column, rows) => {
    const values = rows.map((row) => text(row, column)).filter((value) => !EMPTY.has(value));
    const numeric = values.every((v) => /^[+−-]?[\d.,]/.test(v) && !/^\d{4}-\d\d/.test(v));
    return (a, b, sign) => {
      const [x, y] = [text(a, column), text(b, column)];
      if (EMPTY.has(x) || EMPTY.has(y)) return EMPTY.has(x) - EMPTY.has(y);
      return sign * (numeric ? number(x) - number(y) : x.localeCompare(y));
    };
  };

  const enhance = (table, index) => {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];
    const names = heads.map((head) => head.textContent.trim());
    const sorters = names.map((_, column) => compare(column, rows));
    const state = { words: "", sort: "", down: "" };

    /* Controls */
    const search = make("input", { type: "search", id: `sortable-words-${index}` });
    const shown = make("output", { "aria-live": "polite" });
    const reset = make("button", { type: "button" }, "Show all");
    const menus = [...table.classList]
      .filter((name) => name.startsWith("choose-"))
      .map((name) => name.slice("choose-".length))
      .filter((name) => names.includes(name))
      .map((name) => {
        const column = names.indexOf(name);
        const values = [...new Set(rows.map((row) => text(row, column)))];
        values.sort((a, b) => EMPTY.has(a) - EMPTY.has(b) || a.localeCompare(b));
        const menu = make("select", { id: `sortable-${name}-${index}` }, make("option", { value: "" }, "all"));
        menu.append(...values.map((value) => make("option", { value }, value)));
        menu.addEventListener("change", () => set({ [name]: menu.value }));
        return { name, column, menu };
      });
    const labelled = (label, control) => make("label", { for: control.id }, `${label} `, control);
    const form = make(
      "form",
      { class: "sortable-controls", "aria-label": "Filter the table below" },
      labelled("words", search),
      ...menus.map(({ name, menu }) => labelled(name, menu)),
      reset,
      shown,
    );
    form.addEventListener("submit", (event) => event.preventDefault());
    search.addEventListener("input", () => set({ words: search.value }));
    reset.addEventListener("click", () => {
      for (const key of Object.keys(state)) state[key] = "";
      set({});
    });
    heads.forEach((head, column) => {
      const button = make("button", { type: "button", title: "Sort by this column" }, ...head.childNodes);
      button.addEventListener("click", () => {
        const same = state.sort === names[column];
        set({ sort: names[column], down: same && !state.down ? "1" : "" });
      });
      head.append(button);
    });
    if (menus.length) (table.closest(".pst-scrollable-table-container") ?? table).before(form);

    const draw = () => {
      const wanted = state.words.toLowerCase().split(/\s+/).filter(Boolean);
      let count = 0;
      for (const row of rows) {
        const all = row.textContent.toLowerCase();
        row.hidden =
          !wanted.every((word) => all.includes(word)) ||
          menus.some(({ name, column }) => state[name] && text(row, column) !== state[name]);
        count += !row.hidden;
      }
      const column = names.indexOf(state.sort);
      const sign = state.down ? -1 : 1;
      const order = column < 0 ? rows : [...rows].sort((a, b) => sorters[column](a, b, sign));
      body.append(...order);
      heads.forEach((head, at) => {
        const direction = state.down ? "descending" : "ascending";
        head.setAttribute("aria-sort", at === column ? direction : "none");
      });
      search.value = state.words;
      for (const { name, menu } of menus) menu.value = state[name] ?? "";
      shown.textContent = `${count} of ${rows.length} rows`;
    };

    const set = (change) => {
      Object.assign(state, change);
      draw();
      const kept = new URLSearchParams(Object.entries(state).filter(([, value]) => value));
      history.replaceState(null, "", kept.size ? `#${kept}` : location.pathname + location.search);
    };

    const read = () => {
      const hash = location.hash.slice(1);
      if (hash && !hash.includes("=")) return; // a link to a row
      const told = new URLSearchParams(hash);
      for (const key of ["words", "sort", "down", ...menus.map(({ name }) => name)]) {
        state[key] = told.get(key) ?? "";
      }
      draw();
    };
    draw();
    read();
    window.addEventListener("hashchange", read);
  };

  document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("table.sortable").forEach(enhance);
  });
})();
