/** The style of the pages at /problems. Part of each page, which so needs one request. */
export const PROBLEMS_STYLE = `
:root{color-scheme:light dark;--page:#fff;--raised:#f5f6f8;--line:#dfe2e8;--text:#1b1f27;--quiet:#59616f;--link:#0b57d0;--caller:#0b57d0;--operator:#8f4a00}
@media (prefers-color-scheme:dark){:root{--page:#14171c;--raised:#1e2229;--line:#343a45;--text:#e7eaf0;--quiet:#a3abba;--link:#8ab4ff;--caller:#8ab4ff;--operator:#ffb874}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--text);font:1rem/1.55 system-ui,sans-serif;overflow-wrap:anywhere}
header,main{max-width:48rem;margin:0 auto;padding:0 1rem}
header{padding-top:1.25rem}
nav ul{display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;margin:0;padding:0;list-style:none}
.brand{font-weight:650}
a{color:var(--link);text-underline-offset:.2em}
:focus-visible{outline:2px solid var(--link);outline-offset:2px;border-radius:2px}
h1{margin:2rem 0 .5rem;font-size:1.75rem;line-height:1.2;letter-spacing:-.01em}
h2{margin:2rem 0 .5rem;font-size:1.15rem;line-height:1.3;scroll-margin-top:1rem}
p{margin:.5rem 0}
code{font:.925em/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
p code,dd code{padding:.1em .3em;border-radius:4px;background:var(--raised)}
.lead{font-size:1.1rem}
.code{color:var(--quiet)}
.code code{padding:0;background:none}
.sections{margin-top:1rem}
.codes{margin:1rem 0 0;padding:0;list-style:none;border-top:1px solid var(--line)}
.codes li{display:grid;grid-template-columns:minmax(0,15.5rem) minmax(0,1fr) auto;gap:0 1rem;align-items:baseline;padding:.5rem 0;border-bottom:1px solid var(--line)}
.codes a{text-decoration:none}
.codes a:hover{text-decoration:underline}
.facts{display:grid;grid-template-columns:5rem 7rem;color:var(--quiet);font-size:.875rem}
.caller{color:var(--caller)}
.operator{color:var(--operator)}
.fix{margin:1.5rem 0;padding:.25rem 1.25rem .75rem;border:1px solid var(--line);border-left:4px solid currentColor;border-radius:6px;background:var(--raised)}
.fix>*{color:var(--text)}
.fix h2{margin-top:.75rem}
.fix code{background:var(--page)}
.fix .who{color:var(--quiet);font-size:.925rem}
.fix .who strong{color:var(--text)}
dl{display:grid;grid-template-columns:8rem minmax(0,1fr);gap:.5rem 1rem;margin:1.5rem 0}
dt{color:var(--quiet)}
dd{margin:0}
pre{margin:.5rem 0;padding:1rem;border:1px solid var(--line);border-radius:6px;background:var(--raised);white-space:pre-wrap}
pre code{font-size:.85rem}
.more{display:flex;flex-wrap:wrap;gap:.25rem 1.5rem;margin:2rem 0 3rem;padding-top:1rem;border-top:1px solid var(--line)}
section:last-child{margin-bottom:4rem}
@media (max-width:44rem){.codes li{grid-template-columns:minmax(0,1fr)}.codes a{text-decoration:none}
.codes a:hover{text-decoration:underline}
.facts{display:flex;gap:1rem}}
@media (max-width:30rem){dl{grid-template-columns:minmax(0,1fr);gap:0}dd{margin-bottom:.75rem}h1{margin-top:1.5rem;font-size:1.5rem}}
`;
