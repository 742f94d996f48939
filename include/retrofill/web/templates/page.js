(() => {
  const root = document.documentElement;
  const main = () => document.querySelector("main");
  const showStale = (stale) => { document.querySelector("#stale").hidden = !stale; };

  // Airflow's page around this one stores the chosen theme here.
  const applyTheme = () => {
    let theme = null;
    try { theme = localStorage.getItem("theme"); } catch { /* not allowed: use the system's */ }
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    else delete root.dataset.theme;
  };
  applyTheme();
  addEventListener("storage", applyTheme);

  // Change only what differs, so that input, selection, focus and open details stay. <main> always
  // has the same children, some of them empty.
  const morph = (old, fresh) => {
    if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) {
      old.replaceWith(fresh);
      return;
    }
    if (old.nodeType === Node.TEXT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    if (old.nodeType !== Node.ELEMENT_NODE || "keep" in old.dataset) return;
    for (const { name } of [...old.attributes]) {
      if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    const children = [...fresh.childNodes];
    const kept = [...old.childNodes];
    kept.forEach((child, at) => {
      if (at < children.length) morph(child, children[at]);
      else child.remove();
    });
    old.append(...children.slice(kept.length));
  };

  const read = async (address, options) => {
    const response = await fetch(address, options);
    if (!response.headers.get("content-type")?.startsWith("text/html")) throw new Error("no page");
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    if (page.querySelector("main") === null) throw new Error("no page");
    return page;
  };
  const show = (page) => {
    document.title = page.title;
    morph(main(), page.querySelector("main"));
  };

  // Forms that change something are sent without leaving the page, so that focus and scroll stay.
  // The message about the change stays until the next one.
  const messageOf = (page) => page.querySelector("[data-said]");
  const send = async (event) => {
    const { target: form, submitter } = event;
    const message = messageOf(document);
    if (form.method !== "post" || message === null) return;
    event.preventDefault();
    const body = new URLSearchParams(new FormData(form, submitter));
    // Not form.action: that is the button of this name.
    const address = form.getAttribute("action") ?? location.href;
    let page;
    try {
      page = await read(address, { method: "POST", body });
    } catch {
      showStale(true);
      return;
    }
    // An error page has no place for messages.
    const fresh = messageOf(page);
    message.replaceChildren(...(fresh ?? page.querySelector("section")).childNodes);
    if (fresh !== null) show(page);
    if (submitter !== null && !submitter.isConnected) message.focus();
    schedule();
  };
  addEventListener("submit", send);

  // Airflow's sandbox does not let links in this page leave it; a link in the outer page may.
  addEventListener("click", (event) => {
    const link = event.target.closest("a[target='_top']");
    if (link === null || parent === window) return;
    const outer = parent.document.createElement("a");
    outer.href = link.href;
    event.preventDefault();
    outer.click();
  });

  let timer = 0;
  const schedule = () => {
    const seconds = Number(main().dataset.refreshS);
    clearTimeout(timer);
    if (seconds > 0) timer = setTimeout(refresh, seconds * 1000);
  };
  const refresh = async () => {
    if (!document.hidden) {
      try {
        show(await read(location.href, { cache: "no-store" }));
        showStale(false);
      } catch {
        showStale(true);
      }
    }
    schedule();
  };
  addEventListener("DOMContentLoaded", schedule);
  document.addEventListener("visibilitychange", () => { if (timer && !document.hidden) refresh(); });
})();
