"use strict";
/* Tables can be read as they are; with this, a click on a header sorts, and long ones can be searched. */
const LONG = 12;
const order = new Intl.Collator("en", { numeric: true });

function compare(a, b, direction) {
  if (a === "" || b === "") return (a === "") - (b === ""); // what is missing comes last, either way
  const difference = typeof a === "number" ? a - b : order.compare(a, b);
  return direction * difference;
}

function value(row, column) {
  const cell = row.cells[column];
  const number = cell.dataset.value;
  return number === undefined ? cell.textContent : number === "" ? "" : Number(number);
}

function sort(table, header) {
  const column = header.cellIndex;
  const numeric = table.tBodies[0].rows[0]?.cells[column].dataset.value !== undefined;
  const before = header.getAttribute("aria-sort");
  const first = numeric ? "descending" : "ascending";
  const second = numeric ? "ascending" : "descending";
  const now = before === first ? second : first;
  for (const other of header.parentElement.cells) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", now);
  const direction = now === "ascending" ? 1 : -1;
  const rows = [...table.tBodies[0].rows].map((row) => [value(row, column), row]);
  rows.sort((a, b) => compare(a[0], b[0], direction));
  table.tBodies[0].append(...rows.map((pair) => pair[1]));
}

function search(table, count, text) {
  const words = text.toLowerCase().split(/\s+/);
  let shown = 0;
  for (const row of table.tBodies[0].rows) {
    const content = row.textContent.toLowerCase();
    row.hidden = !words.every((word) => content.includes(word));
    shown += !row.hidden;
  }
  count.textContent = `${shown} of ${table.tBodies[0].rows.length} rows`;
}

function addSearch(table) {
  const box = document.createElement("p");
  const input = document.createElement("input");
  const count = document.createElement("span");
  box.className = "search";
  input.type = "search";
  input.placeholder = "Search rows";
  input.setAttribute("aria-label", `Search rows: ${table.caption.textContent}`);
  count.setAttribute("role", "status");
  input.addEventListener("input", () => search(table, count, input.value));
  search(table, count, "");
  box.append(input, count);
  table.closest(".table").prepend(box);
}

for (const table of document.querySelectorAll("table")) {
  for (const header of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    button.addEventListener("click", () => sort(table, header));
    header.append(button);
  }
  if (table.tBodies[0].rows.length > LONG) addSearch(table);
}
