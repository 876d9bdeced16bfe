(() => {
  const [query, category, state] = [of("query"), of("category"), of("state")];
  const papers = Array.from(document.querySelectorAll("article"), (element) => ({
    element,
    text: null,
    categories: element.dataset.categories.split(" "),
    state: element.dataset.state,
  }));
  const sections = Array.from(document.querySelectorAll("section"));

  // What a paper says, and not what the page says around it: 摘要 is a topic, too.
  const searched = "h3, .title, .authors, .category, .source, .why, .tldr, .paragraph, .abstract p";
  const ownText = (element) => {
    const copy = element.cloneNode(true);
    for (const part of copy.querySelectorAll(".number, .marked, summary")) part.remove();
    return copy.textContent;
  };
  // Taken when it is first asked for, so that opening a page does not wait for it.
  const textOf = (paper) =>
    (paper.text ??= Array.from(paper.element.querySelectorAll(searched), ownText).join("\n").toLowerCase());

  const setOpen = (paper, isOpen) => {
    paper.classList.toggle("open", isOpen);
    const button = paper.querySelector("button.more");
    button.setAttribute("aria-expanded", String(isOpen));
    button.textContent = isOpen ? "收起" : "展开";
  };

  const isOfState = (paper) =>
    state.value === "" || paper.state === state.value ||
    (state.value === "without" && (paper.state === "failed" || paper.state === "noticed"));

  const filter = () => {
    const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    for (const paper of papers) {
      const shown = isOfState(paper) &&
        (category.value === "" || paper.categories.includes(category.value)) &&
        words.every((word) => textOf(paper).includes(word));
      if (paper.element.hidden === shown) paper.element.hidden = !shown;
      found += shown ? 1 : 0;
    }
    for (const section of sections) {
      section.hidden = !section.querySelector("article:not([hidden])");
    }
    of("found").value = `${found} / ${papers.length} 篇`;
    of("nothing").hidden = found > 0 || papers.length === 0;
  };

  const setBrief = (isBrief) => {
    document.body.classList.toggle("brief", isBrief);
    of("brief").setAttribute("aria-pressed", String(isBrief));
  };
  setBrief(kept("wenzhai-brief") === "yes");
  of("brief").addEventListener("click", () => {
    const isBrief = !document.body.classList.contains("brief");
    setBrief(isBrief);
    keep("wenzhai-brief", isBrief ? "yes" : "no");
  });

  of("tools").addEventListener("submit", (event) => event.preventDefault());
  for (const control of [query, category, state]) control.addEventListener("input", filter);
  of("papers").addEventListener("click", (event) => {
    const button = event.target.closest("button.category");
    if (!button) {
      // Where papers are shown in brief, a click shows one of them in full.
      const isMore = event.target.closest("button.more");
      const isElsewhere = event.target.closest("a, button, details") || String(getSelection());
      const paper = document.body.classList.contains("brief") && event.target.closest("article");
      if (paper && (isMore || !isElsewhere)) setOpen(paper, !paper.classList.contains("open"));
      return;
    }
    // The list has the categories of most papers only.
    if (![...category.options].some((option) => option.value === button.value)) {
      category.add(new Option(button.value, button.value));
    }
    category.value = category.value === button.value ? "" : button.value;
    filter();
  });
  document.addEventListener("keydown", (event) => {
    const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
    if (event.key === "/" && !isTyping) {
      event.preventDefault();
      query.focus();
    } else if (event.key === "Escape" && event.target === query) {
      query.value = "";
      filter();
    }
  });
  of("tools").hidden = false;
  // Browsers bring back what was typed before a page was left.
  filter();
})();
