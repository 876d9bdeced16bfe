(() => {
  const query = of("query");
  const days = Array.from(document.querySelectorAll("article"), (element) => ({
    element,
    fold: element.querySelector("details"),
    date: element.id,
    titles: Array.from(element.querySelectorAll("li"), (title) => ({
      element: title,
      text: null,
    })),
  }));
  // Taken when it is first asked for, so that opening the page does not wait for it.
  const textOf = (title) => (title.text ??= title.element.textContent.toLowerCase());
  const count = days.reduce((sum, day) => sum + day.titles.length, 0);
  // "2" and "26" are in every day of a year; a word is a day's from its year on.
  const isOfDay = (day, word) => /^\d{4}(-|$)/.test(word) && day.date.startsWith(word);
  // More than these nobody reads; a longer list would only make typing slow.
  const MOST_SHOWN = 300;

  const filter = () => {
    const words = query.value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    let isAnyShown = false;
    for (const day of days) {
      let ofDay = 0;
      for (const title of day.titles) {
        const isFound = words.every((word) => textOf(title).includes(word) || isOfDay(day, word));
        found += isFound ? 1 : 0;
        const isShown = isFound && (words.length === 0 || found <= MOST_SHOWN);
        if (title.element.hidden === isShown) title.element.hidden = !isShown;
        ofDay += isShown ? 1 : 0;
      }
      const isShown = words.length === 0 || ofDay > 0 || words.every((word) => isOfDay(day, word));
      day.element.hidden = !isShown;
      isAnyShown ||= isShown;
      if (day.fold) day.fold.open = words.length > 0 ? ofDay > 0 : day === days[0];
    }
    of("found").value = words.length === 0 ? "" :
      `${found} / ${count} 篇` + (found > MOST_SHOWN ? `，只列出前 ${MOST_SHOWN} 篇` : "");
    of("nothing").hidden = isAnyShown || days.length === 0;
  };

  of("tools").addEventListener("submit", (event) => event.preventDefault());
  query.addEventListener("input", filter);
  of("tools").hidden = false;
  filter();
})();
