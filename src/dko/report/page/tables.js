"use strict";
/* Tables can be read as they are; with this, a click on a header sorts, and long ones can be searched. */
const LONG = 12;
const order = new Intl.Collator("en", { numeric: true });
// By what the page says of a column, and otherwise as words; the largest first, which Tablesort turns round.
Tablesort.extend("number", () => false, (a, b) => b - a);
Tablesort.extend("words", () => true, (a, b) => order.compare(b, a));

function addSearch(table) {
  const box = document.createElement("p");
  const input = document.createElement("input");
  const count = document.createElement("span");
  const rows = [...table.tBodies[0].rows];
  const search = () => {
    const words = input.value.toLowerCase().split(/\s+/);
    for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
    count.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
  };
  box.className = "search";
  input.type = "search";
  input.placeholder = "Search rows";
  input.setAttribute("aria-label", `Search rows: ${table.caption.textContent}`);
  count.setAttribute("role", "status");
  input.addEventListener("input", search);
  search();
  box.append(input, count);
  table.closest(".table").prepend(box);
}

// What is folded is printed as well.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => (one.open = true)));

for (const table of document.querySelectorAll("table")) {
  new Tablesort(table);
  table.addEventListener("afterSort", () => {
    // What is missing comes last, either way.
    const column = table.querySelector("[aria-sort]").cellIndex;
    const missing = [...table.tBodies[0].rows].filter((row) => row.cells[column].dataset.sort === "");
    table.tBodies[0].append(...missing);
  });
  if (table.tBodies[0].rows.length > LONG) addSearch(table);
}
