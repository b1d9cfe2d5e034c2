"""Results over time: tables of who felt what when, summaries, highlights, trailers, exhibits.

Import the modules by name. `affect`, `writer` and `summary` run in a base install and in constant
memory, since `video --timeline` uses them; the others read whole tables and need the `[study]`
extra:

- `affect`: valence, arousal and intensity of a face, from the model or from its probabilities
- `writer`: results into a csv or Parquet table, a row a face and frame
- `summary`: people and videos in a few figures
- `reading`: such a table back, checked
- `offsets`: when a recording began, by its sound
- `signals`: a viewer's reaction, freed from their own habits
- `highlights`: the peaks of many viewers, ranked, with uncertainty
- `cuts`: highlights as csv, EDL and ffconcat
- `trailer`: highlights cut from the film
- `exhibits`, `report`: what visitors felt at each exhibit
"""
