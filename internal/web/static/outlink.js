// What the pages cannot do without a script: copy a value, say whether they are
// live, and go to the search field with "/". All else works without.
(() => {
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const field = document.getElementById(button.dataset.copy);
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Press Ctrl+C"; // no clipboard without TLS: the value is selected
    }
  });

  document.addEventListener("keydown", (event) => {
    const search = document.querySelector("input[type=search]");
    const typing = event.target.closest("input, textarea, select");
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || typing || !search) return;
    event.preventDefault();
    search.focus();
  });

  const say = (state, word) => {
    for (const note of document.querySelectorAll("[data-live-state]")) {
      note.dataset.liveState = state;
      const place = note.querySelector("[data-live-word]");
      if (place.textContent !== word) place.textContent = word;
    }
  };
  const updated = () => {
    for (const time of document.querySelectorAll("[data-live-time]")) {
      const now = new Date();
      time.dateTime = now.toISOString();
      time.textContent = now.toLocaleTimeString();
    }
  };
  const lost = (event) => {
    const live = event.target;
    if (!live.matches?.("[data-live]")) return;
    say("lost", "reconnecting");
    // A stream that broke is opened again by itself; one that never was, is not.
    if (!live._htmx?.sse) setTimeout(() => htmx.ajax("GET", live.getAttribute("hx-sse:connect"), { source: live }), 3000);
  };
  document.addEventListener("htmx:sse:after:connection", () => say("on", "live"));
  document.addEventListener("htmx:sse:after:message", updated);
  for (const name of ["htmx:sse:error", "htmx:error", "htmx:response:error"]) document.addEventListener(name, lost);
  document.addEventListener("htmx:sse:before:connection", () => say("off", "connecting"));

  // A morph makes the page what the server sent. What a person has opened, they close.
  htmx.registerExtension("keep-open", {
    htmx_before_morph_attr: (element, change) => !(element.tagName === "DETAILS" && change.attrName === "open"),
  });
})();
