"use strict";
// Tables sort, filter and copy; without this script they are plain tables with every row.
(() => {
  const SEARCH_FROM = 9; // rows from which a search box helps

  const text = (cell) => cell.textContent.trim().replace(/\s+/g, " ");

  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };

  // Missing values come last in either direction.
  const compare = (first, second, numeric, sign) => {
    if (!numeric) return sign * text(first).localeCompare(text(second), "en", { numeric: true });
    const [a, b] = [first.dataset.sort ?? "", second.dataset.sort ?? ""];
    if (a === "" || b === "") return (a === "") - (b === "");
    return sign * (Number(a) - Number(b));
  };

  const sortBy = (table, header, index) => {
    const numeric = header.classList.contains("number");
    const before = header.getAttribute("aria-sort");
    const start = numeric ? "descending" : "ascending";
    const other = numeric ? "ascending" : "descending";
    const direction = before === start ? other : start;
    for (const each of table.tHead.rows[0].cells) each.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", direction);
    const sign = direction === "ascending" ? 1 : -1;
    const rows = [...table.tBodies[0].rows];
    rows.sort((a, b) => compare(a.cells[index], b.cells[index], numeric, sign));
    table.tBodies[0].append(...rows);
  };

  const addSorting = (table) => {
    [...table.tHead.rows[0].cells].forEach((header, index) => {
      const button = make("button", { type: "button" }, ...header.childNodes);
      button.addEventListener("click", () => sortBy(table, header, index));
      header.replaceChildren(button);
    });
  };

  const menu = (table, header, index) => {
    const values = new Set([...table.tBodies[0].rows].map((row) => text(row.cells[index])));
    const select = make("select", {}, make("option", { value: "", textContent: "all" }));
    for (const value of values) select.append(make("option", { value, textContent: value }));
    if (values.has(header.dataset.filter)) select.value = header.dataset.filter;
    select.dataset.column = String(index);
    return select;
  };

  const addFilters = (table, tools) => {
    const rows = [...table.tBodies[0].rows];
    const search = make("input", { type: "search", autocomplete: "off" });
    const shown = make("output", {});
    const menus = [];
    [...table.tHead.rows[0].cells].forEach((header, index) => {
      if (header.dataset.filter === undefined) return;
      const select = menu(table, header, index);
      menus.push(select);
      tools.append(make("label", {}, text(header), select));
    });
    const apply = () => {
      const wanted = search.value.trim().toLowerCase();
      let count = 0;
      for (const row of rows) {
        const found = text(row).toLowerCase().includes(wanted);
        const chosen = menus.every((m) => !m.value || text(row.cells[m.dataset.column]) === m.value);
        row.hidden = !(found && chosen);
        count += row.hidden ? 0 : 1;
      }
      shown.value = `${count} of ${rows.length} rows`;
    };
    if (rows.length >= SEARCH_FROM) tools.append(make("label", {}, "Find", search));
    for (const control of [search, ...menus]) control.addEventListener("input", apply);
    apply();
    return shown;
  };

  // Text that a spreadsheet would take for a formula gets an apostrophe in front.
  const fields = (cell) => {
    if (cell.dataset.lower !== undefined) {
      return [cell.dataset.sort, cell.dataset.lower, cell.dataset.upper];
    }
    if (cell.dataset.sort !== undefined) return [cell.dataset.sort];
    return [text(cell).replace(/^[=+\-@]/, "'$&")];
  };

  const titles = (table) => [...table.tHead.rows[0].cells].flatMap((header, index) => {
    const isEstimate = [...table.tBodies[0].rows].some((row) => row.cells[index].dataset.lower !== undefined);
    const label = text(header);
    return isEstimate ? [label, `${label} lower`, `${label} upper`] : [label];
  });

  const asTsv = (table) => {
    const widths = [...table.tHead.rows[0].cells].map((_, index) =>
      Math.max(1, ...[...table.tBodies[0].rows].map((row) => fields(row.cells[index]).length)));
    const line = (row) => [...row.cells].flatMap((cell, index) => {
      const values = fields(cell);
      return [...values, ...Array(widths[index] - values.length).fill("")];
    });
    const rows = [...table.tBodies[0].rows].filter((row) => !row.hidden);
    return [titles(table), ...rows.map(line)].map((row) => row.join("\t")).join("\n");
  };

  // Pages opened from a disk may lack the clipboard interface: then a selection is copied.
  const copy = async (words) => {
    try {
      await navigator.clipboard.writeText(words);
    } catch {
      const area = make("textarea", { value: words });
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
  };

  for (const box of document.querySelectorAll(".table")) {
    const table = box.querySelector("table");
    const tools = box.querySelector(".tools");
    addSorting(table);
    const shown = addFilters(table, tools);
    const button = make("button", { type: "button", textContent: "Copy as TSV" });
    button.addEventListener("click", async () => {
      await copy(asTsv(table));
      shown.value = "copied";
    });
    tools.append(button, shown);
    tools.hidden = false;
  }

  // One option of a choice is shown; choices of one label change together, and a link to a part
  // that is hidden shows it.
  const pick = (label, name) => {
    for (const choice of document.querySelectorAll(".choice")) {
      const options = [...choice.querySelectorAll(":scope > .option")];
      if (choice.dataset.label !== label || !options.some((o) => o.dataset.name === name)) continue;
      for (const option of options) option.hidden = option.dataset.name !== name;
      const radio = choice.querySelector(`:scope > .switch input[value="${CSS.escape(name)}"]`);
      if (radio) radio.checked = true;
    }
  };

  document.querySelectorAll(".choice").forEach((choice, at) => {
    const { label } = choice.dataset;
    const options = [...choice.querySelectorAll(":scope > .option")];
    const radios = options.map((option) => {
      const { name } = option.dataset;
      const radio = make("input", { type: "radio", name: `choice-${at}`, value: name });
      radio.addEventListener("change", () => pick(label, name));
      const title = text(option.querySelector(".option-title"));
      return make("label", {}, radio, title);
    });
    const box = make("fieldset", { className: "switch" }, make("legend", { textContent: label }));
    box.append(...radios);
    choice.prepend(box);
    choice.classList.add("switched");
  });
  for (const choice of document.querySelectorAll(".choice")) {
    pick(choice.dataset.label, choice.querySelector(":scope > .option").dataset.name);
  }

  const reveal = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const option = target?.closest(".option");
    if (!option?.hidden) return;
    pick(option.parentElement.dataset.label, option.dataset.name);
    target.scrollIntoView();
  };
  window.addEventListener("hashchange", reveal);
  reveal();

  // Mark the section that is being read.
  const nav = document.querySelector("nav");
  const links = new Map([...nav.querySelectorAll("a")].map((a) => [a.hash.slice(1), a]));
  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      const link = links.get(entry.target.id);
      link?.setAttribute("aria-current", "location");
      if (link) nav.scrollLeft = link.offsetLeft - nav.clientWidth / 3;
    }
  }, { rootMargin: "-20% 0px -75% 0px" });
  for (const section of document.querySelectorAll("section")) observer.observe(section);
})();
