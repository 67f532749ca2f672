// Runs before the first paint, so that the page never flashes in the wrong theme.
"use strict";
(() => {
  const root = document.documentElement;
  const wish = () => { try { return localStorage.getItem("assay-theme"); } catch { return null; } };
  const system = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => { root.dataset.theme = wish() ?? (system.matches ? "dark" : "light"); dispatchEvent(new Event("themed")); };
  apply();
  system.addEventListener("change", apply);
  addEventListener("DOMContentLoaded", () => {
    document.getElementById("theme")?.addEventListener("click", () => {
      try { localStorage.setItem("assay-theme", root.dataset.theme === "dark" ? "light" : "dark"); } catch { /* private window */ }
      apply();
    });
  });
})();
