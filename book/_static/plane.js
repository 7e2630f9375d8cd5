// The slider of a plane: which of its arms' rates have names. Without a script it stays hidden.
document.addEventListener("DOMContentLoaded", () => {
  for (const figure of document.querySelectorAll("figure.hero")) {
    const slider = figure.querySelector("input[type=range]");
    if (!slider) continue;
    slider.closest(".plane-rates").hidden = false;
    slider.addEventListener("input", () => {
      for (const mark of figure.querySelectorAll("[data-step]")) {
        mark.classList.toggle("on", mark.dataset.step === slider.value);
      }
      const words = figure.querySelector(`data[value="${slider.value}"]`).textContent;
      figure.querySelector("output").textContent = words;
      slider.setAttribute("aria-valuetext", words);
    });
  }
});
