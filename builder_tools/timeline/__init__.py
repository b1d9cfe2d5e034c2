"""Results over time: tables of who felt what when, summaries, highlights, trailers, exhibits.

Import the modules by name. `affect`, `writer` and `summary` run in a base install and in constant
memory, since `video --timeline` uses them; those that read whole tables need pandas and SciPy (the
`[video]` extra). The main modules:

- `affect`: valence, arousal and intensity of a face, from the model or from its probabilities
- `writer`: writes results to a CSV or Parquet table, a row per face and frame
- `summary`: people and videos in a few figures
- `reading`: reads and checks such a table
- `offsets`: finds when a recording began by its sound
- `signals`: a viewer's reaction, relative to their own habits
- `highlights`: the peaks of many viewers, ranked, with uncertainty
- `cuts`: highlights as CSV, EDL and ffconcat
- `trailer`: highlights cut from the film
- `exhibits`, `exhibits_page`: what visitors felt at each exhibit
"""
