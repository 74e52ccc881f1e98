"""How the page looks: on a screen, on a phone, on paper."""

STYLE = """
:root { --ink: #1d2730; --soft: #566470; --line: #d5dbe0; --paper: #fff; --wash: #f4f6f8;
  --real: #45586b; --syn: #b8540a; --pass: #1a6b3c; --warn: #855400; --fail: #a01c2c; }
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body { font: 16px/1.55 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; color: var(--ink);
  background: var(--paper); margin: 0 auto; padding: 0 1.2rem 4rem; max-width: 66rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 1.4rem 0 .2rem; }
h2 { font-size: 1.3rem; margin: 3rem 0 .8rem; padding-bottom: .3rem;
  border-bottom: 2px solid var(--line); }
h3 { font-size: 1.02rem; margin: 1.8rem 0 .5rem; }
p { max-width: 48rem; margin: .6rem 0; } a { color: #0d5a94; }
.soft { color: var(--soft); font-weight: normal; }
.banner { background: var(--fail); color: #fff; padding: .45rem .9rem; border-radius: .3rem;
  margin: 1rem 0; max-width: none; font-size: .93rem; }
.verdict { background: var(--wash); border-left: .35rem solid var(--real); padding: .8rem 1.2rem;
  margin: 1.2rem 0; }
.verdict h2 { margin: 0 0 .4rem; border: 0; padding: 0; font-size: 1.1rem; }
.verdict p { font-size: 1.08rem; margin: .35rem 0; max-width: 54rem; }
.tiles { display: grid; gap: .8rem; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr));
  list-style: none; padding: 0; margin: 1rem 0; }
.tile { border: 1px solid var(--line); border-top: .3rem solid var(--soft); border-radius: .3rem;
  padding: .6rem .9rem; }
.tile b { display: block; font-size: 1.35rem; line-height: 1.3; }
.tile .what { font-size: .85rem; color: var(--soft); }
.tile.pass { border-top-color: var(--pass); } .tile.warn { border-top-color: var(--warn); }
.tile.fail { border-top-color: var(--fail); border-top-style: double; }
.tile.pass b span { color: var(--pass); } .tile.warn b span { color: var(--warn); }
.tile.fail b span { color: var(--fail); }
.warnings { padding-left: 1.2rem; } .warnings li { margin: .4rem 0; max-width: 50rem; }
.chip { white-space: nowrap; border-radius: 1rem; padding: .05rem .55rem; font-size: .86rem;
  border: 1px solid currentColor; }
.chip.pass { color: var(--pass); background: #eef7f1; }
.chip.warn { color: var(--warn); background: #fdf5e4; }
.chip.fail { color: var(--fail); background: #fdeef0; }
.chip.untested { color: var(--soft); background: #fff; border-style: dashed; }
nav ol { columns: 3 15rem; padding-left: 1.4rem; margin: .4rem 0; font-size: .93rem; }
nav h2 { font-size: 1rem; border: 0; margin: 1.6rem 0 0; padding: 0; }
.scroll { overflow-x: auto; max-width: 100%; /* a shadow where there is more to the side */
  background: linear-gradient(90deg, #fff 30%, #fff0) 0 / 2.5rem 100% no-repeat local,
    linear-gradient(270deg, #fff 30%, #fff0) 100% / 2.5rem 100% no-repeat local,
    linear-gradient(90deg, #1d27302e, #1d273000) 0 / .7rem 100% no-repeat scroll,
    linear-gradient(270deg, #1d27302e, #1d273000) 100% / .7rem 100% no-repeat scroll; }
.scroll:focus-visible { outline: 2px solid #0d5a94; }
table { border-collapse: collapse; margin: .6rem 0; font-size: .92rem; }
caption { text-align: left; font-weight: bold; padding: .3rem 0; }
th, td { padding: .3rem 1rem .3rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
thead th { color: var(--soft); font-weight: 600; vertical-align: bottom; }
tbody th { font-weight: normal; min-width: 9rem; }
.n { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
details { border: 1px solid var(--line); border-radius: .3rem; padding: .3rem .8rem;
  margin: .4rem 0; }
summary { cursor: pointer; padding: .15rem 0; } dt { font-weight: bold; margin-top: .8rem; }
dd { margin: .15rem 0 .15rem 1rem; max-width: 48rem; }
figure { margin: .8rem 0; min-width: 0; break-inside: avoid; }
figcaption { font-size: .92rem; margin-bottom: .25rem; }
.plots { display: grid; gap: .6rem 1.8rem;
  grid-template-columns: repeat(auto-fill, minmax(min(19.5rem, 100%), 1fr)); }
.pairs { display: grid; gap: .6rem 1.8rem;
  grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .2rem 1.6rem; padding: 0;
  margin: .4rem 0 .8rem; font-size: .9rem; }
.legend li { display: flex; align-items: center; gap: .45rem; }
svg { width: 100%; height: auto; max-width: var(--w); display: block; overflow: visible; }
.legend svg { width: 26px; flex: none; } .bar svg { width: 130px; display: inline-block;
  vertical-align: middle; } .bar { white-space: nowrap; }
.wide svg { min-width: var(--w); } .dots svg { max-width: 40rem; }
svg text { font: 11.5px system-ui, "Segoe UI", "DejaVu Sans", sans-serif; fill: var(--ink); }
svg text.tick, .soft-text text { fill: var(--soft); font-size: 11px; }
svg text.halo { paint-order: stroke; stroke: #fff; stroke-width: 3px; stroke-linejoin: round; }
.axis { stroke: #7c8893; } .grid { stroke: #e4e8eb; }
.reference { stroke: var(--ink); stroke-dasharray: 2 3; }
.real { fill: var(--real); } .synthetic { fill: #fff; stroke: var(--syn); stroke-width: 2; }
.real-area { fill: #aeb9c4; } .real-band { fill: var(--real); opacity: .22; }
.synthetic-band { fill: var(--syn); opacity: .24; }
.real-line, .synthetic-line, .synthetic-dashes { fill: none; stroke-width: 1.8; }
.real-line { stroke: var(--real); }
.synthetic-line, .synthetic-dashes { stroke: var(--syn); }
.synthetic-dashes { stroke-dasharray: 5 3; stroke-width: 2.2; }
.flow { opacity: .38; } .rest { fill: #9aa5ae; }
.c0 { fill: #1b6ca8; } .c1 { fill: #c98b1d; } .c2 { fill: #2e8b57; } .c3 { fill: #6b4c9a; }
.c4 { fill: #3d4a55; } .c5 { fill: #b23a48; } .c6 { fill: #17838f; } .c7 { fill: #8c564b; }
.heat.none { fill: #fff; stroke: #e4e8eb; } .h0 { fill: #eef2f6; } .h1 { fill: #c9d9e8; }
.h2 { fill: #92b4d1; } .h3 { fill: #4d82ae; } .h4 { fill: #1f5680; }
.h1.below { fill: #f6dcc6; } .h2.below { fill: #e8b184; } .h3.below { fill: #cd7f3c; }
.h4.below { fill: #9a4c0b; } svg text.cell { fill: var(--ink); font-size: 10.5px; }
svg text.cell.h3, svg text.cell.h4 { fill: #fff; }
@media (max-width: 40rem) { body { padding: 0 .8rem 3rem; font-size: 15px; }
  h1 { font-size: 1.4rem; } .verdict { padding: .6rem .8rem; } th, td { padding-right: .7rem; }
  nav ol { columns: 1; }
  .pairs svg text.halo, .dots svg text { font-size: 14.5px; }
  .dots svg text.tick { font-size: 13.5px; } }
@media print { body { font-size: 10pt; max-width: none; padding: 0; }
  nav, .skip { display: none; } .scroll { overflow: visible; }
  .wide svg { min-width: 0; max-width: min(100%, var(--w)); }
  h2, h3, figcaption, .legend, p.soft { break-after: avoid; } .scroll { background: none; }
  details::details-content { content-visibility: visible; block-size: auto; }
  tr, figure, .tile, .verdict { break-inside: avoid; } table { font-size: 8.5pt; }
  a { color: inherit; text-decoration: none; }
  * { -webkit-print-color-adjust: exact; print-color-adjust: exact; } }
"""
