"""The application's HTTP side: photo in, one honest answer a face out.

settings.py   what can be set, from the environment (GENQ_…)
app.py        create_app(settings): everything below, wired
routes.py     /v1/…          device.py    what the page needs to answer on the device itself
legacy.py     the routes of the project that genq replaces
upload.py     bytes out of a request, in memory only
images.py     bytes -> pixels, within bounds
analysis.py   pixels -> faces -> answers
releases.py   which model answers; reload, roll back, canary, shadow
workers.py    bounded concurrency, time-outs, cancellation
metrics.py    Prometheus      drift.py    served photos against the training images
security.py   headers, keys, rate limit        web.py    the built page
"""
