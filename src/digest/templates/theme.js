
"use strict";
const root = document.documentElement;
const of = (id) => document.getElementById(id);

// A file may have no storage; the choice is then forgotten, and nothing else.
const keep = (name, value) => { try { localStorage.setItem(name, value); } catch { } };
const kept = (name) => { try { return localStorage.getItem(name); } catch { return null; } };

const setTheme = (theme) => {
  if (theme === "light" || theme === "dark") root.dataset.theme = theme;
};
setTheme(kept("wenzhai-theme"));
of("theme").addEventListener("click", () => {
  const prefersDark = matchMedia("(prefers-color-scheme: dark)").matches;
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : prefersDark;
  const theme = isDark ? "light" : "dark";
  setTheme(theme);
  keep("wenzhai-theme", theme);
});

