// The requests to the server and their answers, without any part of the page.
import type { Plane, Triple } from "../data/space";

export interface Progress {
  stage: string;
  done: number;
  total: number;
}

export interface Job {
  id: string;
  kind: "trace" | "enhance" | "retrace" | "brain";
  state: "queued" | "running" | "done" | "failed" | "cancelled";
  created: string;
  source: string | null; // the job that was traced again
  reused: boolean;
  progress: Progress | null;
  error: { code: string; detail: string } | null;
  parameters: Record<string, unknown> & { name: string };
}

export interface Doubt {
  kind: string;
  place: [number, number, number];
  says: string;
  chance: number;
  piece?: number | null; // the root of what is missing if the tree is wrong here
}
export interface Segment {
  start: number;
  end: number;
  confidence: number;
}

export interface Report {
  shape_zyx: [number, number, number];
  settings: {
    spacing_um_xyz: [number, number, number] | null;
    [option: string]: unknown;
  };
  enhancer: string;
  warnings: string[];
  doubts?: Doubt[];
  segments?: Segment[];
  [figure: string]: unknown;
}

/** The levels of a volume in tiles. A voxel of a level stands for `scale` voxels; z, y, x. */
export interface Pyramid {
  levels: { level: number; shape: Triple; scale: Triple }[];
  tile: number;
  low: number;
  high: number;
  window: [number, number]; // the grey values that are black and white at a first look
  spacing: Triple | null;
}

/** An error, in the server's words. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
  ) {
    super(detail);
  }
}

const KEY = "dineuro-token";
export const token = {
  get: () => sessionStorage.getItem(KEY) ?? "",
  set: (value: string) => sessionStorage.setItem(KEY, value),
};

function headers(more: Record<string, string> = {}): Record<string, string> {
  return token.get() ? { Authorization: `Bearer ${token.get()}`, ...more } : more;
}

function problemOf(status: number, text: string): Problem {
  try {
    const told = JSON.parse(text) as { code?: string; detail?: string; id?: string };
    const id = told.code === "internal" && told.id ? ` [${told.id}]` : "";
    return new Problem(
      status,
      told.code ?? "internal",
      (told.detail ?? `the server answered ${status}`) + id,
    );
  } catch {
    return new Problem(status, "internal", `the server answered ${status}`);
  }
}

const GONE = new Problem(0, "server_gone", "the server does not answer: is dineuro serve running?");

export async function ask(path: string, init: RequestInit = {}): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(path, {
      ...init,
      headers: headers(init.headers as Record<string, string>),
    });
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw GONE;
  }
  if (!answer.ok) throw problemOf(answer.status, await answer.text());
  return answer;
}

export const models = async (): Promise<string[]> =>
  ((await (await ask("/v1/models")).json()) as { models: { name: string }[] }).models.map(
    (m) => m.name,
  );
export const jobs = async (): Promise<Job[]> =>
  ((await (await ask("/v1/jobs?limit=50")).json()) as { jobs: Job[] }).jobs;
export const job = async (id: string): Promise<Job> =>
  (await (await ask(`/v1/jobs/${id}`)).json()) as Job;
export const cancel = async (id: string): Promise<void> =>
  void (await ask(`/v1/jobs/${id}`, { method: "DELETE" }));
export const rename = async (id: string, name: string): Promise<Job> =>
  (await (
    await ask(`/v1/jobs/${id}`, {
      method: "PATCH",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ name }),
    })
  ).json()) as Job;
export const report = async (id: string): Promise<Report> =>
  (await (await ask(`/v1/jobs/${id}/report`)).json()) as Report;
export const swc = async (id: string): Promise<string> => (await ask(`/v1/jobs/${id}/swc`)).text();
export const view = async (id: string): Promise<ArrayBuffer> =>
  (await ask(`/v1/jobs/${id}/view`)).arrayBuffer();
export const file = async (id: string, name: string): Promise<Blob> =>
  (await ask(`/v1/jobs/${id}/${name}`)).blob();

export const pyramid = async (id: string): Promise<Pyramid> =>
  (await (await ask(`/v1/jobs/${id}/tiles`)).json()) as Pyramid;
export const tile = async (
  id: string,
  place: string,
  plane: Plane,
  signal: AbortSignal,
): Promise<Blob> => (await ask(`/v1/jobs/${id}/tiles/${place}?plane=${plane}`, { signal })).blob();

/** Sends a volume. Resolves with the job's id when the server has the whole volume. */
export function upload(
  file: File,
  params: URLSearchParams,
  progress: (share: number) => void,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    params.set("name", file.name);
    request.open("POST", `/v1/trace?${params}`);
    for (const [name, value] of Object.entries(headers({ Prefer: "respond-async" })))
      request.setRequestHeader(name, value);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = (event) => progress(event.loaded / event.total);
    request.onload = () => settle(request, resolve, reject);
    request.onerror = () => reject(GONE);
    request.send(file);
  });
}

// With a stored result the answer is the result itself, and the job's id is in a header.
function settle(
  request: XMLHttpRequest,
  resolve: (id: string) => void,
  reject: (error: Problem) => void,
): void {
  const known = request.getResponseHeader("X-DINeuro-Job");
  if (request.status === 202) resolve((JSON.parse(request.responseText) as Job).id);
  else if (request.status === 200 && known) resolve(known);
  else reject(problemOf(request.status, request.responseText));
}

/** Traces a finished job again. Resolves with the id of the new job. */
export async function retrace(id: string, params: URLSearchParams): Promise<string> {
  params.set("job", id);
  const answer = await ask(`/v1/retrace?${params}`, {
    method: "POST",
    headers: { Prefer: "respond-async" },
  });
  return answer.status === 202
    ? ((await answer.json()) as Job).id
    : (answer.headers.get("X-DINeuro-Job") ?? "");
}

/** Follows a job until it has ended, and reconnects after a lost connection. */
export async function follow(
  id: string,
  told: (progress: Progress) => void,
  signal: AbortSignal,
): Promise<void> {
  let last = "";
  for (let failures = 0; !signal.aborted; ) {
    try {
      const more: Record<string, string> = last ? { "Last-Event-ID": last } : {};
      const answer = await ask(`/v1/jobs/${id}/events`, { headers: more, signal });
      for await (const event of events(answer)) {
        failures = 0;
        last = event.id || last;
        if (event.kind === "progress") told(JSON.parse(event.data) as Progress);
      }
      return;
    } catch (error) {
      if (signal.aborted || (error instanceof Problem && error.status >= 400) || ++failures > 5)
        throw error;
      await new Promise((after) => setTimeout(after, 1000));
    }
  }
}

// Server-sent events, without EventSource, which cannot send a token.
async function* events(
  answer: Response,
): AsyncGenerator<{ id: string; kind: string; data: string }> {
  const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; ; ) {
    const { done, value } = await reader.read();
    if (done) return;
    text = (text + value).replaceAll("\r\n", "\n");
    const blocks = text.split("\n\n");
    text = blocks.pop() ?? "";
    for (const block of blocks) {
      const field = (name: string): string =>
        block.match(new RegExp(`^${name}: ?(.*)$`, "m"))?.[1] ?? "";
      yield { id: field("id"), kind: field("event"), data: field("data") };
    }
  }
}
