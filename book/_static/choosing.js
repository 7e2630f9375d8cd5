/* The page "Which method should I use?": three menus choose one of the sentences and the table behind
   it. The choice is kept in the address after #, so that it can be sent. Without this script every
   sentence and every table stands on the page. */
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const form = document.getElementById("choosing");
  if (!form) return;
  const { teach, stays, share } = form.elements;
  const answers = [...document.querySelectorAll(".answers")];
  const tables = [...document.querySelectorAll("table[data-skill]")];

  const offerLosses = (chosen) => {
    const mine = answers.find((list) => list.dataset.skill === teach.value);
    const losses = new Set([...mine.children].map((answer) => answer.dataset.stays));
    stays.replaceChildren(...[...losses].map((words) => new Option(words, words)));
    if (losses.has(chosen)) stays.value = chosen;
  };

  const draw = () => {
    let row = "";
    for (const list of answers) {
      const mine = list.dataset.skill === teach.value;
      list.closest("section").hidden = !mine;
      for (const answer of list.children) {
        const { stays: words, shares } = answer.dataset;
        answer.hidden = words !== stays.value || !shares.split(" ").includes(share.value);
        if (mine && !answer.hidden) row = answer.dataset.row;
      }
    }
    for (const line of tables.flatMap((table) => [...table.tBodies[0].rows])) {
      line.classList.toggle("too-large", Number(line.dataset.share) > Number(share.value));
      line.classList.toggle("chosen", line.dataset.row === row);
    }
  };

  /* "#teach=lora&share=0.01" sets the menus; "#lora-lora-r-64" is a row, whose table is shown. */
  const read = () => {
    const hash = decodeURIComponent(location.hash.slice(1));
    const told = new URLSearchParams(hash.includes("=") ? hash : "");
    const line = document.getElementById(hash);
    const table = line?.closest("table") ?? line?.querySelector("table[data-skill]");
    const known = (menu, value) => [...menu.options].some((option) => option.value === value);
    const skill = told.get("teach") ?? table?.dataset.skill;
    if (known(teach, skill)) teach.value = skill;
    offerLosses(told.get("stays") ?? stays.value);
    if (known(share, told.get("share"))) share.value = told.get("share");
    draw();
    if (table) line.scrollIntoView();
  };

  form.addEventListener("change", (event) => {
    if (event.target === teach) offerLosses(stays.value);
    draw();
    history.replaceState(null, "", `#${new URLSearchParams(new FormData(form))}`);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  document.body.classList.add("has-choosing");
  read();
  window.addEventListener("hashchange", read);
});
