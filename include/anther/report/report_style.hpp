// The style of report.html.
#pragma once

#include <string_view>

namespace anther::inline v0_1::report {

// The plots are drawn for a white page; in the dark their colours are exchanged by name here.
inline constexpr std::string_view report_style = R"css(
:root { color-scheme: light dark; --page: #ffffff; --ink: #111827; --soft: #6b7280;
  --line: #e5e7eb; --card: #f8fafc; --blue: #2563eb; --orange: #c2410c; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1240px; padding: 28px 20px 60px; background: var(--page);
  color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto,
  "Helvetica Neue", "Liberation Sans", Arial, sans-serif; }
h1 { font-size: 26px; margin: 0 0 2px; }
h2 { font-size: 19px; margin: 44px 0 8px; padding-top: 14px; border-top: 1px solid var(--line); }
p { margin: 4px 0 14px; max-width: 78ch; }
p.soft, .soft { color: var(--soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(124px, 1fr)); gap: 10px;
  margin-top: 20px; }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 9px 13px; }
.tile b { display: block; font-size: 21px; line-height: 1.3; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: 13px; }
.plot svg { max-width: 100%; height: auto; display: block; }
.beside { display: flex; flex-wrap: wrap; gap: 10px 30px; align-items: center; }
.beside .plot { flex: 1 1 600px; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(136px, 1fr)); gap: 14px; }
figure { margin: 0; break-inside: avoid; }
figure img { width: 100%; aspect-ratio: 1; object-fit: cover; border-radius: 6px; display: block;
  background: var(--card); }
figcaption { font-size: 13px; line-height: 1.35; margin-top: 5px; overflow-wrap: anywhere; }
figcaption .name { font-weight: 600; }
.wrong { color: var(--orange); }
.right { color: var(--blue); }
.attention { display: grid; gap: 8px; margin-bottom: 14px; break-inside: avoid; }
.attention figcaption { margin-top: 3px; }
.columns { columns: 3 300px; column-gap: 34px; }
.class { display: grid; grid-template-columns: 1fr 90px 50px 34px; gap: 8px; align-items: center;
  font-size: 13px; line-height: 1.55; break-inside: avoid; font-variant-numeric: tabular-nums; }
.class > :nth-child(n+3) { text-align: right; }
.class > :first-child { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.bar { background: var(--line); border-radius: 3px; height: 8px; }
.bar i { display: block; height: 100%; border-radius: 3px; background: var(--blue); }
table { border-collapse: collapse; font-size: 14px; }
td, th { text-align: left; padding: 3px 22px 3px 0; border-bottom: 1px solid var(--line);
  vertical-align: top; overflow-wrap: anywhere; }
th { font-weight: 600; color: var(--soft); }
td:last-child, th:last-child { padding-right: 0; }
td.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.arguments { columns: 2 360px; column-gap: 34px; }
.arguments div { display: flex; justify-content: space-between; gap: 14px; font-size: 13px;
  border-bottom: 1px solid var(--line); padding: 2px 0; break-inside: avoid; }
.arguments code { overflow-wrap: anywhere; text-align: right; }
@media screen and (prefers-color-scheme: dark) {
  :root { --page: #14171c; --ink: #e7eaee; --soft: #9aa4b2; --line: #2f3640; --card: #1b2027;
    --blue: #6ea0ff; --orange: #ff9254; }
  .plot [fill="#ffffff"] { fill: #14171c; }
  .plot [stroke="#ffffff"] { stroke: #14171c; }
  .plot [fill="#f3f4f6"] { fill: #1e242c; }
  .plot [fill="#111827"] { fill: #e7eaee; }
  .plot [fill="#374151"] { fill: #c3cad3; }
  .plot [fill="#4b5563"], .plot [fill="#6b7280"] { fill: #9aa4b2; }
  .plot [stroke="#e5e7eb"] { stroke: #2f3640; }
  .plot [stroke="#9ca3af"] { stroke: #59636f; }
  .plot [fill="#2563eb"] { fill: #6ea0ff; }
  .plot [stroke="#2563eb"] { stroke: #6ea0ff; }
  .plot [fill="#ea580c"] { fill: #ff9254; }
  .plot [stroke="#ea580c"] { stroke: #ff9254; }
  .plot [fill="#16a34a"] { fill: #4ade80; }
  .plot [stroke="#16a34a"] { stroke: #4ade80; }
  .plot [stroke-opacity="0.35"] { stroke-opacity: 0.6; }
  .plot [fill="#fffffe"] { fill: #14171c; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 12px; print-color-adjust: exact;
    -webkit-print-color-adjust: exact; }
  .plot, .tile, tr { break-inside: avoid; }
  .grid { grid-template-columns: repeat(6, 1fr); }
  .columns { columns: 3 180px; column-gap: 20px; }
  .class { grid-template-columns: 1fr 46px 42px 22px; font-size: 10px; }
  .arguments { columns: 2; }
  .arguments div, figcaption { font-size: 10px; }
  h2 { break-after: avoid; }
}
)css";

}  // namespace anther::inline v0_1::report
