(() => {
"use strict";
const byId = id => document.getElementById(id);
const skew = Date.now() - Number(document.body.dataset.now);
const span = s => {
  s = Math.floor(s);
  const two = n => String(n).padStart(2, "0");
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min";
  if (s < 172800) return Math.floor(s / 3600) + " h " + two(Math.floor(s % 3600 / 60)) + " min";
  return Math.floor(s / 86400) + " d " + Math.floor(s % 86400 / 3600) + " h";
};
const age = root => {
  const now = Date.now() - skew;
  for (const t of root.querySelectorAll("time")) {
    const d = (now - Date.parse(t.dateTime)) / 1000;
    const text = d < 0 ? "in " + span(-d) : span(d) + " ago";
    if (t.textContent !== text) t.textContent = text;
  }
};

// What a person has selected or stands on is not taken away: the first waits, the second keeps its focus.
const waiting = new Map();
const selected = e => {
  const s = getSelection();
  return s && !s.isCollapsed && s.containsNode(e, true);
};
const stops = e => [...e.querySelectorAll("a, button, input, select, [tabindex]")];
const put = (e, html) => {
  if (selected(e)) { waiting.set(e.id, html); return; }
  waiting.delete(e.id);
  const old = document.activeElement, held = stops(e).includes(old);
  e.innerHTML = html;
  age(e);
  if (held) stand(e, again(stops(e), old));
};
// again finds what had the focus, wherever it is now; never something else that came to its place.
const again = (all, old) => {
  const alike = all.filter(n => n.tagName === old.tagName && n.id === old.id && n.name === old.name && n.href === old.href);
  return alike.find(n => n.textContent === old.textContent) || alike[0];
};
const stand = (e, there) => {
  if (!there) { there = e; if (!e.hasAttribute("tabindex")) e.tabIndex = -1; }
  there.focus({preventScroll: true});
};
const arrange = (body, ids, set) => {
  const focused = document.activeElement;
  let at = body.firstElementChild;
  for (const id of ids) {
    let row = byId(id);
    if (!row || row.parentNode !== body) {
      row = document.createElement("tr");
      row.id = id;
      if (body.hasAttribute("role")) row.setAttribute("role", "row");
      row.innerHTML = set[id] || "";
      age(row);
    }
    if (row === at) at = at.nextElementSibling;
    else body.insertBefore(row, at);
  }
  while (at) {
    const next = at.nextElementSibling;
    at.remove();
    at = next;
  }
  if (focused === document.activeElement) return;
  if (focused.isConnected) focused.focus({preventScroll: true});
  else stand(body.closest(".box") || body);
};
const apply = m => {
  const set = m.set || {};
  for (const [name, ids] of Object.entries(m.lists || {})) {
    const body = byId(name);
    if (body) arrange(body, ids, set);
  }
  for (const [id, html] of Object.entries(set)) {
    const e = byId(id);
    if (e) put(e, html);
  }
  if (m.title) document.title = m.title;
};

const live = byId("live"), pause = byId("pause"), address = document.body.dataset.stream;
let stream = null, paused = false, reload = 0;
const say = (text, is) => { live.className = is; if (live.textContent !== text) live.textContent = text; };
const close = () => { stream?.close(); stream = null; };
const open = () => {
  clearTimeout(reload);
  if (!address || stream || paused || document.hidden) return;
  stream = new EventSource(address);
  stream.onopen = () => say("live", "on");
  stream.onmessage = e => { say("live", "on"); apply(JSON.parse(e.data)); };
  stream.onerror = () => {
    if (stream.readyState !== EventSource.CLOSED) { say("connection lost, trying again", "off"); return; }
    close();
    say("no updates, the page reloads itself", "off");
    reload = setTimeout(() => location.reload(), 30000);
  };
};
setInterval(() => {
  age(document);
  for (const [id, html] of waiting) { const e = byId(id); if (e) put(e, html); else waiting.delete(id); }
}, 1000);
document.addEventListener("visibilitychange", () => document.hidden ? close() : open());
if (address) {
  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.textContent = paused ? "Resume updates" : "Pause updates";
    if (paused) { close(); clearTimeout(reload); say("paused", "off"); } else open();
  });
  open();
}
})();
