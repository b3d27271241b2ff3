"""Time CTGAN's fit, updates and sampling on the same table with the same networks and batch, here and elsewhere.

python benchmarks/tables_speed.py TABLE.csv, and in an environment of its own with `pip install ctgan`:
python benchmarks/tables_speed.py TABLE.csv --ctgan. Processor time of one thread; the first 2,000 rows; batch 500.
"""

import argparse
import json
import time
import warnings

ROWS, EPOCHS, SAMPLES = 2000, 10, 2000

warnings.simplefilter("ignore")


def timed(work):
    """Return processor seconds, and what the work gives."""
    started = time.process_time()
    found = work()
    return time.process_time() - started, found


def theirs(path):
    """Time the ctgan package."""
    import pandas as pd
    import torch
    from ctgan import CTGAN

    torch.set_num_threads(1)
    frame = pd.read_csv(path).head(ROWS).dropna()
    frame = frame[[name for name in frame if frame[name].nunique() < len(frame)]]
    discrete = [name for name in frame if frame[name].nunique() <= 20]
    CTGAN(epochs=1, batch_size=100, enable_gpu=False).fit(frame.head(200), discrete)  # what is imported late
    seconds = []
    for epochs in (1, 1 + EPOCHS):
        model = CTGAN(epochs=epochs, batch_size=500, enable_gpu=False)
        seconds.append(timed(lambda model=model: model.fit(frame, discrete))[0])
    step = (seconds[1] - seconds[0]) / (EPOCHS * (len(frame) // 500))
    sampling = timed(lambda: model.sample(SAMPLES))[0]
    return {"fit_s": seconds[0] - step * (len(frame) // 500), "step_ms": 1000 * step, "rows_per_s": SAMPLES / sampling}


def ours(path):
    """Time this package."""
    import torch
    from lightning.pytorch import Trainer

    from lightning_gans import create_model
    from lightning_gans.data.table import EncodedRows, TableFile
    from lightning_gans.inference.rows import sample_rows

    torch.set_num_threads(1)

    def fit():
        data = TableFile(root=path, image_size=None, channels=1, limit=ROWS)
        assert isinstance(data.train_images, EncodedRows)
        return data

    fit()  # what is imported late
    seconds, data = timed(fit)
    module = create_model("ctgan", columns=data.table.text, reuse_fakes=arguments.reuse)
    quiet = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary", "enable_checkpointing"), False)
    times = []
    for steps in (4, 8, 4 * EPOCHS + 8):
        trainer = Trainer(max_steps=steps, accelerator="cpu", **quiet)
        times.append(timed(lambda trainer=trainer: trainer.fit(module, datamodule=data))[0])
    sampling = timed(lambda: sample_rows(module.eval(), SAMPLES))[0]
    step = (times[2] - times[1]) / (4 * EPOCHS)
    return {"fit_s": seconds, "step_ms": 1000 * step, "rows_per_s": SAMPLES / sampling}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("path")
    parser.add_argument("--ctgan", action="store_true")
    parser.add_argument("--reuse", action="store_true", help="rows of D's update serve G's too")
    arguments = parser.parse_args()
    found = theirs(arguments.path) if arguments.ctgan else ours(arguments.path)
    print(json.dumps({key: round(value, 2) for key, value in found.items()}))
