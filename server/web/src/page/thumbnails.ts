// The small pictures of the list of jobs. Each is fetched once, when it comes into sight.
import * as api from "../server/api";
import { make } from "./dom";

export class Thumbnails {
  private readonly pictures = new Map<string, Promise<string>>();
  private readonly sight = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries)
      if (isIntersecting) {
        this.sight.unobserve(target);
        void this.fill(target as HTMLImageElement);
      }
  });

  /** The picture of a job, whose name stands beside it; empty until it comes. */
  of(job: api.Job): HTMLImageElement {
    const image = make("img", { className: "thumbnail", alt: "" });
    image.dataset.picture = job.id;
    if (job.state === "done" && job.kind !== "brain") this.sight.observe(image);
    return image;
  }

  /** Forgets the pictures of jobs that are gone. */
  keep(ids: Set<string>): void {
    for (const [id, picture] of this.pictures)
      if (!ids.has(id)) {
        this.pictures.delete(id);
        picture.then(URL.revokeObjectURL, () => undefined);
      }
  }

  private async fill(image: HTMLImageElement): Promise<void> {
    const id = image.dataset.picture!;
    const picture =
      this.pictures.get(id) ?? api.file(id, "preview.png").then((png) => URL.createObjectURL(png));
    this.pictures.set(id, picture);
    try {
      image.src = await picture;
    } catch {
      this.pictures.delete(id); // the next list asks again
    }
  }
}
