"""Objects: organisms and particles with their taxon, size, traits and carbon."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    submodules=[
        "benchmarking",
        "counting",
        "crossfitting",
        "distortion",
        "hierarchy",
        "leaderboard",
        "living",
        "masks",
        "rehearsal",
        "relations",
        "trait_models",
        "trait_spaces",
    ],
    submod_attrs={
        "classification": ["TaxonClassifier"],
        "counting": ["quantify"],
        "novelty": ["NoveltyScorer"],
        "grouping": ["Groups"],
        "segmentation": ["segment"],
        "measurement": ["measure"],
        "taxonomy": ["Taxonomy"],
        "conversion": ["carbon", "carbon_interval"],
        "propagation": ["sample_carbon"],
        "benchmarking": ["benchmark"],
    },
)
