// Loads what is packed: files of a folder, each one call of glossChunk, by script tags, so that this works without a server.
"use strict";
const glossChunks = (folder, kept) => {
  const chunks = new Map(); // the last few, by number
  const load = (number) => {
    if (!chunks.has(number)) {
      chunks.set(number, new Promise((found, failed) => {
        glossChunks.waiting.set(`${folder}/${number}`, found);
        const script = document.createElement("script");
        script.src = `${folder}/${String(number).padStart(5, "0")}.js`;
        script.onload = () => script.remove();
        script.onerror = () => failed(new Error(`${folder} ${number} is missing`));
        document.head.append(script);
      }));
      if (chunks.size > kept) chunks.delete(chunks.keys().next().value);
    }
    return chunks.get(number);
  };
  return load;
};
glossChunks.waiting = new Map();
const glossChunk = (folder, number, content) => {
  glossChunks.waiting.get(`${folder}/${number}`)?.(content);
  glossChunks.waiting.delete(`${folder}/${number}`);
};
const glossUnpack = (packed) => {
  const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).text();
};
