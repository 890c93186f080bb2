// A click on a heading sorts the rows of each group: upwards, downwards, the paper's order. What has no number stays last.
'use strict';

const NEXT = { none: 'ascending', ascending: 'descending', descending: 'none' };

function key(row, column) {
  const cell = row.cells[column];
  const { value } = cell.dataset;
  return value === undefined ? cell.textContent : value === '' ? null : Number(value);
}

function compare(a, b, sign) {
  if (a === null || b === null) return (a === null) - (b === null);
  return sign * (typeof a === 'string' ? a.localeCompare(b) : a - b);
}

for (const table of document.querySelectorAll('table')) {
  const headings = [...table.querySelectorAll('th[aria-sort]')];
  const groups = [...table.tBodies].map((body) => [body, [...body.rows].slice(1)]);
  headings.forEach((heading, column) => {
    heading.firstElementChild.addEventListener('click', () => {
      const order = NEXT[heading.ariaSort];
      headings.forEach((other) => { other.ariaSort = 'none'; });
      heading.ariaSort = order;
      const sign = order === 'ascending' ? 1 : -1;
      for (const [body, rows] of groups) {
        const sorted = order === 'none' ? rows : [...rows].sort((a, b) => compare(key(a, column), key(b, column), sign));
        body.append(...sorted);
      }
    });
  });
}
