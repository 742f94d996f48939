"""The meanings of counts, outcomes, events and causes, as pages show them."""

COUNTS = {
    "listed": "Items that pass the filters: new and known ones.",
    "new": "Listed items that are new to the job, in this version.",
    "late": "New items that are older than the run's interval.",
    "known": "Listed items that were already processed, quarantined or in process. They are not"
    " called again.",
    "resumed": "Items that an earlier run left behind and this one took over.",
    "redriven": "Items that this run moved back from quarantine or the results cache.",
    "succeeded": "Items that the function processed. They are in the results cache.",
    "quarantined": "Items that this run gave up on. They wait for you in quarantine.",
    "with_others": "Listed items that another run of the job had in process when this one last"
    " checked.",
    "withdrawn": "Items that were enqueued and are new again: nobody approved the plan, or the"
    " function seems to feed its own source.",
    "items_left": "New, resumed and redriven items that are neither processed nor quarantined yet.",
    "calls": "HTTP requests to the function, each recorded before it was sent.",
    "refused": "Calls for which the function did not run. They do not count towards max_calls.",
    "retries": "Calls with items that an earlier call carried.",
    "duplicates": "Items that were called again after a call without a response. Their work may"
    " have been done twice.",
    "lost_tasks": "Tasks that ended unexpectedly, for example by a signal or with their machine."
    " Another try continued their work.",
}
"""The counts of a report that the page shows, in its order. Another table has calls by outcome."""

OUTCOMES = {
    "succeeded": "The function returned. Its response says which items it processed.",
    "failed": "The function failed, or its response says so.",
    "throttled": "Refused because of load. The function did not run; the items are called again.",
    "starting": "Refused while the function starts. It did not run.",
    "unknown": "No response. The function may have run.",
    "misconfigured": "Refused, and would be refused again. The function did not run.",
    "too_large": "The request is larger than the function accepts. It did not run.",
    "lost": "Its task died before it settled the call. The function may have run.",
    None: "Sent, not settled yet.",
}
EVENTS = {
    "paused": "paused the run",
    "resumed": "resumed the run",
    "stopped": "stopped the run",
    "waiting": "asked for approval of the plan",
    "approved": "approved the plan",
    "rejected": "rejected the plan",
    "expired": "treated the plan as rejected: nobody answered in time",
    "ended": "treated the plan as rejected: the run was closed before an answer",
    "void": "withdrew the approval: something has changed since",
}
"""Events of a run other than changed limits, shown after the name of who did it."""

CAUSES = {
    "timed_out": "The function reached its timeout.",
    "out_of_memory": "The function ran out of memory.",
    "crashed": "The function's process ended before it responded.",
    "handled": "The function reported the error itself.",
    "unhandled": "The function raised an error that it did not handle.",
    "malformed_answer": "The function returned a malformed response.",
    "answer_lost": "The function finished, but its response did not get through.",
}
