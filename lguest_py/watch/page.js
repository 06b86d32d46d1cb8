/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Shows the record in the page: one position in a list of rows, and all of the page as it is there.
 * A row has a step of one record, or of two that were recorded beside each other; null: that one does nothing there.
 * Text comes from a Guest's memory too, so it is put into the page as text, never as HTML.
 */
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const GENERAL = ["eax", "ebx", "ecx", "edx", "esi", "edi", "ebp", "esp"];
  const OTHER = ["eip", "eflags", "cs", "ss", "ds", "es", "fs", "gs"];
  const OWNED = [["cr3", "page tables", "cr3"], ["gdt", "GDT", "gdt"], ["idt", "IDT", "idt"], ["tss", "TSS", "tss"]];
  const PLACES = [["g", 3, "program", "ring 3"], ["g", 1, "Guest kernel", "ring 1"], ["s", 0, "Switcher", "ring 0"], ["h", 0, "Host kernel", "ring 0"]];
  const SELECTORS = new Set(["cs", "ss", "ds", "es", "fs", "gs", "tr", "ldt"]);

  const views = data.records.map((record, n) => ({
    name: record.switcher, records: [n], rows: record.steps.map((_, step) => [step]),
  }));
  if (data.rows) views.unshift({ name: "beside each other", records: [0, 1], rows: data.rows });
  let view = views[0], here = 0;

  const hex = (value, name) => value.toString(16).padStart(SELECTORS.has(name) ? 4 : 8, "0");
  const make = (tag, classes = "", text = "", ...children) => {
    const made = document.createElement(tag);
    if (classes) made.className = classes;
    if (text !== "") made.textContent = text;
    made.append(...children);
    return made;
  };
  const stepsOf = (row) => row.map((step, n) => (step === null ? null : data.records[view.records[n]].steps[step]));
  const first = (row) => stepsOf(row).find((step) => step !== null);
  const isCode = (step) => step.file !== "" || /^[a-z]+ /.test(step.code) && step.phase === "guest" && !step.code.startsWith("the ");
  /* The step that a side is at: its own in this row, or the last one before it. */
  const presentOf = (side) => {
    for (let row = here; row >= 0; row--) {
      const step = view.rows[row][side];
      if (step !== null) return { step: data.records[view.records[side]].steps[step], number: step, waits: row !== here };
    }
    return null;
  };

  /* The list of instructions, with a heading for each phase. */
  function fillList() {
    const list = at("list");
    list.replaceChildren();
    list.className = view.records.length > 1 ? "two" : "";
    let phase = "";
    view.rows.forEach((row, index) => {
      const now = first(row);
      if (now.phase !== phase) {
        phase = now.phase;
        list.append(make("li", `phase ${phase}`, data.phases[phase]));
      }
      const button = make("button");
      button.type = "button";
      button.tabIndex = -1;
      stepsOf(row).forEach((step, side) => {
        const cell = make("span", "c");
        if (step === null) { cell.classList.add("none"); cell.textContent = "—"; } else {
          if (!isCode(step)) cell.classList.add("words");
          cell.textContent = step.code;
          if (step.note && view.records.length === 1) cell.append(make("small", "", `   ${step.note}`));
        }
        if (view.records.length === 1) button.append(make("span", "n", String(row[side] + 1)));
        button.append(cell);
      });
      button.addEventListener("click", () => go(index));
      list.append(make("li", "", "", button));
    });
  }

  function fillTimeline() {
    const line = at("timeline");
    line.replaceChildren();
    phases().forEach((each) => {
      const button = make("button", each.phase, data.phases[each.phase]);
      button.type = "button";
      button.style.flexGrow = String(each.end - each.start);
      button.addEventListener("click", () => go(each.start));
      line.append(button);
    });
  }
  /* Runs of rows of one phase: {phase, start, end}. */
  function phases() {
    const found = [];
    view.rows.forEach((row, index) => {
      const phase = first(row).phase, last = found.at(-1);
      if (last && last.phase === phase) last.end = index + 1;
      else found.push({ phase, start: index, end: index + 1 });
    });
    return found;
  }

  function rings(step) {
    const made = make("div", "rings");
    const ring = step.state.cs & 3;
    const page = step.state.eip >= 0xffc00000 && step.state.eip < 0xffc01000;
    PLACES.forEach(([kind, number, name, where]) => {
      const there = ring === number && (ring !== 0 || (kind === "s") === page);
      const cell = make("div", `${kind}${there ? " here" : ""}`, "", make("b", "", name), where);
      if (there) cell.setAttribute("aria-current", "true");
      made.append(cell);
    });
    made.append(make("p", "", step.state.eflags & 0x200 ? "interrupts come" : "interrupts wait (IF is 0)"));
    return made;
  }

  /* A register's value, and the old one where it changed. */
  function valued(step, name, changed, classes = "") {
    const made = make("span", `${classes}${changed.has(name) ? " hot" : ""}`, hex(step.state[name], name));
    const change = changed.has(name) && step.changes.find((each) => each.name === name);
    if (change) made.append(make("s", "", hex(change.old, name)));
    return made;
  }

  /* What the page tables map, by whose they are: the Switcher's pages are in both, and eip and esp must be in one. */
  function mapped(step) {
    const made = make("div", "mapped"), host = step.owners.cr3 === "Host";
    const page = (address) => address >= 0xffc00000;
    const marks = (inside) => {
      const names = [["eip", step.state.eip], ["esp", (step.state.esp - 1) >>> 0]].filter(([, value]) => inside(value));
      return names.map(([name]) => make("b", "", name));
    };
    const cell = (classes, text, inside) => make("div", classes, text, ...marks(inside));
    made.append(
      make("div", `head${host ? " here" : ""}`, "the Host’s"), make("div", `head${host ? "" : " here"}`, "the Guest’s (shadow)"),
      cell("s", "ffc00000  the Switcher: code, stack page, state page", page),
      cell(`h${host ? " here" : ""}`, "the Host kernel, and all of the machine’s memory", (value) => host && !page(value)),
      cell(`g${host ? "" : " here"}`, "what the Guest has mapped, and nothing of the Host’s", (value) => !host && !page(value)),
    );
    return made;
  }

  function owned(step, changed) {
    const made = make("div", "owned");
    OWNED.forEach(([name, text, register]) => {
      const owner = step.owners[name];
      made.append(
        make("span", "", text),
        make("span", `own ${owner}${changed.has(register) ? " new" : ""}`, owner === "both" ? "both" : `${owner}’s`),
        valued(step, register, changed, "v"),
      );
    });
    return made;
  }

  function registers(step, changed) {
    const made = make("div", "regs");
    for (let n = 0; n < GENERAL.length; n++) {
      [GENERAL[n], OTHER[n]].forEach((name) => {
        made.append(make("span", "name", name), valued(step, name, changed));
      });
    }
    if (changed.has("cr2")) made.append(make("span", "name", "cr2"), valued(step, "cr2", changed));
    return made;
  }

  function stack(which, step) {
    const table = make("table", "stack"), body = make("tbody");
    const esp = step.state.esp;
    which.words.forEach((word) => {
      const row = make("tr", word.address < esp ? "below" : "");
      const by = word.by.split(" ")[0];
      row.append(make("th", "", hex(word.address)), make("td", by, word.label || "·"), make("td", word.new ? `${by} new` : by, hex(word.value)));
      row.append(make("td", "", word.address === esp ? "◀ esp" : ""));
      body.append(row);
    });
    if (which.words.length && esp > which.words[0].address) {
      const row = make("tr");
      row.append(make("th", "", hex(esp)), make("td"), make("td"), make("td", "", "◀ esp"));
      body.prepend(row);
    }
    table.append(body);
    return table;
  }

  function pane(side) {
    const made = make("section", "pane"), now = presentOf(side);
    const name = data.records[view.records[side]].switcher;
    made.setAttribute("aria-label", `${name}: the machine`);
    if (view.records.length > 1) made.append(make("h2", "", name + (now && now.waits ? ": nothing here" : "")));
    if (!now) return made;
    const { step } = now;
    const changed = new Set(now.waits ? [] : step.changes.map((change) => change.name));
    const left = make("div"), right = make("div");
    left.style.display = right.style.display = "grid";
    left.style.gap = right.style.gap = "12px";
    const block = (head, ...inside) => make("div", "block", "", make("h3", "", head), ...inside);
    left.append(block("The CPU is in", rings(step)), block("It uses", owned(step, changed)),
      block("Registers", registers(step, changed)), block("What the page tables map", mapped(step)));
    const legend = make("div", "legend", "");
    [["CPU", "pushed by the CPU"], ["Switcher", "by the Switcher"], ["Host", "written by the Host kernel"]].forEach(
      ([kind, text]) => legend.append(make("span", kind, text)));
    right.append(block(`The stack: ${step.stack.name}`, stack(step.stack, step), legend));
    if (step.stack.name !== step.frame.name && view.records.length === 1) right.append(block(step.frame.name[0].toUpperCase() + step.frame.name.slice(1), stack(step.frame, step)));
    made.append(left, right);
    return made;
  }

  function spoken(row, step) {
    const names = { cr3: "page tables", gdt: "GDT", idt: "IDT", tss: "TSS" };
    const parts = [`Step ${here + 1} of ${view.rows.length}, ${data.phases[step.phase].replace("→", "to")}: ${step.code}.`, step.did];
    const changes = step.changes.filter((change) => change.name !== "eflags").slice(0, 4).map(
      (change) => (names[change.name] ? `${names[change.name]} now the ${step.owners[change.name] === "both" ? "ones both use" : step.owners[change.name] + "'s"}` : `${change.name} ${change.new.toString(16)}`));
    if (changes.length) parts.push(`Changed: ${changes.join(", ")}.`);
    parts.push(`Ring ${step.state.cs & 3}.`);
    return parts.filter(Boolean).join(" ");
  }

  function show(speak) {
    const row = view.rows[here], step = first(row);
    at("code").textContent = step.code;
    at("code").className = isCode(step) ? "" : "words";
    at("note").textContent = step.note;
    at("did").textContent = step.did;
    at("whytext").textContent = step.why;
    at("where").textContent = step.file ? `${step.file}:${step.line}   ${hex(step.eip)}` : hex(step.eip);
    document.body.classList.toggle("both", view.records.length > 1);
    at("panes").replaceChildren(...view.records.map((_, side) => pane(side)));
    at("count").textContent = `${here + 1} of ${view.rows.length}`;
    at("back").disabled = at("first").disabled = here === 0;
    at("next").disabled = here === view.rows.length - 1;
    at("list").querySelectorAll("button").forEach((button, index) => {
      if (index === here) { button.setAttribute("aria-current", "step"); button.tabIndex = 0; center(button); } else {
        button.removeAttribute("aria-current");
        button.tabIndex = -1;
      }
    });
    const buttons = at("timeline").children;
    phases().forEach((each, index) => {
      const inside = here >= each.start && here < each.end;
      if (inside) buttons[index].setAttribute("aria-current", "true"); else buttons[index].removeAttribute("aria-current");
      buttons[index].style.setProperty("--done", String(Math.min(1, Math.max(0, (here + 1 - each.start) / (each.end - each.start)))));
    });
    if (speak) at("live").textContent = spoken(row, step);
    try { history.replaceState(null, "", `#${view.name.split(" ")[0]}-${here + 1}`); } catch { /* a page in a frame */ }
  }
  function center(button) {
    const box = at("trace");
    const top = button.getBoundingClientRect().top - box.getBoundingClientRect().top + box.scrollTop;
    box.scrollTop = top - box.clientHeight / 2;
  }
  function go(row, speak = true) {
    const wanted = Math.max(0, Math.min(view.rows.length - 1, row));
    if (wanted === here && speak) return;
    here = wanted;
    show(speak);
  }
  function choose(wanted) {
    const step = first(view.rows[here]);
    view = wanted;
    const same = view.rows.findIndex((row) => stepsOf(row).includes(step));
    here = same >= 0 ? same : Math.min(here, view.rows.length - 1);
    start();
  }
  function phase(forward) {
    const all = phases(), index = all.findIndex((each) => here < each.end);
    if (forward) return go(index + 1 < all.length ? all[index + 1].start : view.rows.length - 1);
    return go(here > all[index].start ? all[index].start : all[Math.max(0, index - 1)].start);
  }

  function start() {
    const record = data.records[view.records[0]];
    at("title").textContent = record.cause;
    const both = view.records.length > 1;
    at("summary").textContent = both
      ? view.records.map((n) => `${data.records[n].switcher}: ${data.records[n].summary}`).join(" · ")
      : `${record.summary}${record.end ? ` · ${record.end}` : ""} · ${record.image}, Switcher ${record.switcher}, engine ${record.engine}`;
    [...at("views").children].forEach((button, n) => button.setAttribute("aria-pressed", String(views[n] === view)));
    fillList();
    fillTimeline();
    show(false);
  }

  const KEYS = {
    ArrowRight: () => go(here + 1), " ": () => go(here + 1), ArrowLeft: () => go(here - 1), Home: () => go(0),
    End: () => go(view.rows.length - 1), PageDown: () => phase(true), PageUp: () => phase(false),
    w: () => { at("why").open = !at("why").open; }, "?": () => at("keys").showModal(),
    b: () => choose(views[(views.indexOf(view) + 1) % views.length]),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || at("keys").open) return;
    const target = event.target, inList = at("list").contains(target);
    if (event.key === " " && /^(BUTTON|SUMMARY)$/.test(target.tagName) && !inList) return;
    let work = KEYS[event.key];
    if (inList && event.key === "ArrowDown") work = KEYS.ArrowRight;
    if (inList && event.key === "ArrowUp") work = KEYS.ArrowLeft;
    if (!work) return;
    event.preventDefault();
    work();
    if (inList) at("list").querySelector("[aria-current]").focus({ preventScroll: true });
  });
  let touch = null;
  at("main").addEventListener("touchstart", (event) => {
    touch = event.touches.length === 1 ? [event.touches[0].clientX, event.touches[0].clientY] : null;
  }, { passive: true });
  at("main").addEventListener("touchend", (event) => {
    if (!touch) return;
    const x = event.changedTouches[0].clientX - touch[0], y = event.changedTouches[0].clientY - touch[1];
    touch = null;
    if (Math.abs(x) > 50 && Math.abs(y) < Math.abs(x) / 2) go(here + (x < 0 ? 1 : -1));
  }, { passive: true });
  at("next").addEventListener("click", KEYS.ArrowRight);
  at("back").addEventListener("click", KEYS.ArrowLeft);
  at("first").addEventListener("click", KEYS.Home);
  at("help").addEventListener("click", KEYS["?"]);
  if (views.length > 1) {
    at("views").hidden = false;
    views.forEach((each) => {
      const button = make("button", "", each.name);
      button.type = "button";
      button.addEventListener("click", () => choose(each));
      at("views").append(button);
    });
  }
  const wanted = /^#([a-z]+)-(\d{1,4})$/.exec(location.hash);
  if (wanted) {
    view = views.find((each) => each.name.split(" ")[0] === wanted[1]) || view;
    here = Math.min(Math.max(Number(wanted[2]) - 1, 0), view.rows.length - 1);
  }
  start();
})();
