
(() => {
  const root = document.documentElement;

  // Airflow's page, around this one, keeps the theme that was chosen here.
  const dress = () => {
    let theme = null;
    try { theme = localStorage.getItem("theme"); } catch { /* not allowed: as the system has it */ }
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    else delete root.dataset.theme;
  };
  dress();
  addEventListener("storage", dress);

  // Change only what differs, so that what is typed, selected, open or pointed at stays. The
  // children of <main> are always the same ones, some of them empty.
  const become = (old, fresh) => {
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
      if (at < children.length) become(child, children[at]);
      else child.remove();
    });
    old.append(...children.slice(kept.length));
  };

  const read = async (answer) => {
    if (!answer.headers.get("content-type")?.startsWith("text/html")) throw new Error("no page");
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = page.querySelector("main");
    if (fresh === null) throw new Error("no page");
    return [page, fresh];
  };
  const show = ([page, fresh]) => {
    document.title = page.title;
    become(document.querySelector("main"), fresh);
  };
  const look = async () => show(await read(await fetch(location.href, { cache: "no-store" })));

  // A form that changes something is sent behind the page, so that focus and scroll stay. What is
  // said of it stays, too, until the next one.
  const said = (within) => within.querySelector("[data-said]");
  const send = async (event) => {
    const { target: form, submitter } = event;
    if (form.method !== "post" || said(document) === null) return;
    event.preventDefault();
    const body = new URLSearchParams(new FormData(form, submitter));
    // Not form.action: that is the button of this name.
    const address = form.getAttribute("action") ?? location.href;
    let found;
    try {
      found = await read(await fetch(address, { method: "POST", body }));
    } catch {
      document.querySelector("#stale").hidden = false;
      return;
    }
    // A page that says one thing, such as who may not do this, has no such place.
    const fresh = said(found[1]);
    if (fresh === null) said(document).replaceChildren(...found[1].querySelector("section").children);
    else {
      said(document).replaceChildren(...fresh.childNodes);
      show(found);
    }
    if (submitter !== null && !submitter.isConnected) said(document).focus();
    wait();
  };
  addEventListener("submit", send);

  // Airflow has this page in a sandbox that lets no link of its own lead away; one of the page
  // around it may.
  const leave = (event) => {
    const link = event.target.closest("a[target='_top']");
    if (link === null || parent === window) return;
    const outer = parent.document.createElement("a");
    outer.href = link.href;
    event.preventDefault();
    outer.click();
  };
  addEventListener("click", leave);

  let timer = 0;
  const wait = () => {
    const seconds = Number(document.querySelector("main").dataset.refreshS);
    clearTimeout(timer);
    if (seconds > 0) timer = setTimeout(turn, seconds * 1000);
  };
  const turn = async () => {
    if (!document.hidden) {
      try {
        await look();
        document.querySelector("#stale").hidden = true;
      } catch {
        document.querySelector("#stale").hidden = false;
      }
    }
    wait();
  };
  addEventListener("DOMContentLoaded", wait);
  document.addEventListener("visibilitychange", () => { if (timer && !document.hidden) turn(); });
})();
