/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Beside the text, the contents show where the reader is.  Without this script they are only links. */
"use strict";
(() => {
	const links = new Map([...document.querySelectorAll("nav a[href^='#']")].map((a) => [decodeURIComponent(a.hash.slice(1)), a]));
	const places = [...document.querySelectorAll("section[id], article[id]")].filter((each) => links.has(each.id));
	const wide = matchMedia("(min-width: 64rem)");
	let current = null, waiting = false;
	const show = () => {
		waiting = false;
		let place = null;
		for (const each of places) {
			if (each.getBoundingClientRect().top > innerHeight / 4) break;
			place = each;
		}
		const link = place && links.get(place.id);
		if (link === current || !wide.matches) return;
		if (current) current.removeAttribute("aria-current");
		current = link;
		if (!link) return;
		link.setAttribute("aria-current", "location");
		const chapter = link.closest("details");
		for (const other of document.querySelectorAll("nav details[data-opened]")) {
			if (other !== chapter) { other.open = false; delete other.dataset.opened; }
		}
		if (chapter && !chapter.open) { chapter.open = true; chapter.dataset.opened = ""; }
		const nav = link.closest("nav"), box = link.getBoundingClientRect();
		if (box.top < 40 || box.bottom > innerHeight - 40) nav.scrollTop += box.top - innerHeight / 3;
	};
	addEventListener("scroll", () => { if (!waiting) { waiting = true; requestAnimationFrame(show); } }, { passive: true });
	show();
})();
