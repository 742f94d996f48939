"""What counts, outcomes and causes mean, for the pages that show them."""

COUNTS = {
    "listed": "Items that were found and pass the filters: new and known together.",
    "new": "Listed items that the job had not seen before, in this version.",
    "late": "New items that are older than the run's interval: no earlier run has seen them.",
    "known": "Listed items that were processed, quarantined or in process before. They are not"
    " called again.",
    "resumed": "Items that an earlier run left behind and this one took over.",
    "redriven": "Items that this run brought back from quarantine or from the results.",
    "succeeded": "Items that the function processed: they are in the results cache.",
    "quarantined": "Items that this run gave up on, to wait for a person.",
    "with_others": "Listed items that another run of the job had in process when this one last"
    " looked.",
    "withdrawn": "Items that the run had enqueued and that are new again: nobody approved its"
    " plan, or its function seems to feed its own source.",
    "items_left": "New, resumed and redriven items that are neither processed nor quarantined yet.",
    "calls": "HTTP requests to the function, each written down before it was sent.",
    "refused": "Calls that were refused, so that the function did not run: they do not use up"
    " max_calls.",
    "retries": "Calls with items that an earlier call carried.",
    "duplicates": "Items that were called again after a call that ended without an answer: their"
    " work may have been done twice.",
    "lost_tasks": "Tasks that ended without a word, such as by a signal or with their machine."
    " Another try went on with what they had.",
}
"""The counts of a report that the page shows, each with its meaning, in the page's order.

How calls ended is shown beside the items they carried.
"""

OUTCOMES = {
    "succeeded": "The function returned. Its answer says which items it processed.",
    "failed": "The function, or its answer, says that it failed.",
    "throttled": "Refused for load: the function did not run. The items are called again.",
    "starting": "Refused while the function starts up: it did not run.",
    "unknown": "No answer came: the function may have run.",
    "misconfigured": "Refused, and would be refused again: the function did not run.",
    "too_large": "The request is larger than the function takes: it did not run.",
    "lost": "Its task died before it settled the call: the function may have run.",
    None: "Sent, and not settled yet.",
}
"""How calls end, each with its meaning."""

EVENTS = {
    "paused": "paused the run",
    "resumed": "resumed the run",
    "stopped": "stopped the run",
    "waiting": "asked a person to approve the plan",
    "approved": "approved the plan",
    "rejected": "rejected the plan",
    "expired": "took the plan as rejected: nobody answered in time",
    "ended": "took the plan as rejected: the run was closed before anybody answered",
    "void": "took the approval back: what was approved would not be what runs",
}
"""What happens to a run beside changes of its limits, behind the name of who did it."""

CAUSES = {
    "timed_out": "The function ran into its own timeout.",
    "out_of_memory": "The function was killed for its use of memory.",
    "crashed": "The function's process ended before it answered.",
    "handled": "The function told of its error itself.",
    "unhandled": "The function raised an error that it did not handle.",
    "malformed_answer": "The function returned, and its answer says nothing to rely on.",
    "answer_lost": "The function came to its end, and its answer did not get through.",
}
"""Why calls fail, each with its meaning."""
