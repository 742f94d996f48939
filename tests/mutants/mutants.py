"""The mutants: small changes that break a promise, each with the test that must notice."""

from dataclasses import dataclass

APPROVALS = "tests/integration/test_approvals.py::"
PORTIONS = "tests/integration/test_portions.py::"
BATCHES = "tests/integration/test_batches.py::"
CANARY = "tests/integration/test_canary.py::"
COUNTS = "tests/integration/test_counts.py::"
FEEDBACK = "tests/integration/test_feedback.py::"
OTHERS = "tests/integration/test_others.py::"
PLANS = "tests/integration/test_query_plans.py::test_a_statement_reads_only_the_rows_it_needs"
ENDS = "tests/integration/test_run_ends.py::"
COSTS = "tests/integration/test_cost.py::"
LIMITS = "tests/integration/test_limits.py::"
RACES = "tests/integration/test_races.py::"
READINGS = "tests/integration/test_two_readings.py::"
SUCCESSES = "tests/integration/test_successes.py::"
UNORDERED = "tests/integration/test_unordered.py::"
WORKFLOW = "tests/contracts/test_workflow.py::"


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """A change of one file's text."""

    name: str
    file: str
    """Below ``include/retrofill``."""
    old: str
    """Text that occurs in it exactly once."""
    new: str
    test: str
    """The test that must fail."""


MUTANTS = (
    Mutant(
        name="content lost when items become columns",
        file="model/items.py",
        old="[item.content for item in items],",
        new='[""] * len(items),',
        test="tests/unit/test_first_calls.py::test_every_shape_is_packed_and_written",
    ),
    Mutant(
        name="records with content taken to be as short as those of objects",
        file="events/shape.py",
        old="        if self.longest_item is None:\n",
        new="        if self.longest_item is None and not items:\n",
        test="tests/unit/test_first_calls.py::test_every_shape_is_packed_and_written",
    ),
    Mutant(
        name="screening without the lock of the job",
        file="state/locks.sql",
        old="FROM retrofill.job WHERE job_id = %(job_id)s FOR NO KEY UPDATE",
        new="FROM retrofill.job WHERE job_id = %(job_id)s",
        test=RACES + "test_two_runs_that_screen_the_same_items_take_turns",
    ),
    Mutant(
        name="known items read with one statement per table",
        file="state/screening.py",
        old='    cur.execute(_SQL["list_known"], bounds)\n',
        new="    seen: set[bytes] = set()\n"
        '    for table in ("results", "quarantine", "in_process"):\n'
        "        cur.execute(\n"
        '            f"SELECT identifier::text FROM retrofill.{table} WHERE job_id = %(job_id)s"\n'
        '            " AND item_key BETWEEN %(first)s AND %(last)s", bounds\n'
        "        )\n"
        '        seen |= {bytes.fromhex(row[0].replace("-", "")) for row in cur}\n'
        '    return b"".join(seen), []\n',
        test=RACES + "test_an_item_that_moves_while_known_items_are_read_is_known",
    ),
    Mutant(
        name="cursor without compare-and-swap",
        file="state/screening.sql",
        old=" AND chunk_no = %(chunk_no)s AND NOT done",
        new="",
        test="tests/integration/test_screening.py::"
        "test_a_partition_read_by_two_tasks_counts_each_chunk_once",
    ),
    Mutant(
        name="a commit of acknowledged pages left unflushed",
        file="state/screening.py",
        old="if not (chunk.done or taken.is_cut or acknowledge):",
        new="if not (chunk.done or taken.is_cut):",
        test="tests/integration/test_enqueue.py::test_commits_of_acknowledged_pages_are_flushed",
    ),
    Mutant(
        name="waiting items not marked when a job becomes unordered",
        file="state/screening.py",
        old='            cur.execute(_SQL["mark_unordered"], {"job_id": partition.job_id})\n',
        new="",
        test=UNORDERED + "test_waiting_items_are_known_whichever_run_listed_them",
    ),
    Mutant(
        name="items of an ordered source not marked in an unordered job",
        file="state/screening.py",
        old="unordered = job.unordered or not ordered",
        new="unordered = not ordered",
        test=UNORDERED + "test_waiting_items_are_known_whichever_run_listed_them",
    ),
    Mutant(
        name="redriven items not marked in an unordered job",
        file="state/redrive.sql",
        old="(SELECT unordered FROM retrofill.job WHERE job_id = %(job_id)s)",
        new="false",
        test=UNORDERED + "test_redriven_items_are_known",
    ),
    Mutant(
        name="items that the run itself settled redriven",
        file="state/successes.sql",
        old=" AND results.run_id <> %(run_id)s",
        new="",
        test=SUCCESSES + "test_items_settled_since_the_run_opened_are_not_redriven",
    ),
    Mutant(
        name="items settled after the opening redriven",
        file="state/successes.sql",
        old="AND settled_at < (SELECT opened_at FROM retrofill.run WHERE run_id = %(run_id)s)",
        new="",
        test=SUCCESSES + "test_items_settled_since_the_run_opened_are_not_redriven",
    ),
    Mutant(
        name="redriven items counted as new",
        file="state/screening.py",
        old="again = [taken.new.pop(one) for one in selected & taken.new.keys()]",
        new="again = [taken.new[one] for one in selected & taken.new.keys()]",
        test=SUCCESSES + "test_exactly_the_selected_items_return_with_their_history",
    ),
    Mutant(
        name="an unordered item looked for only in quarantine",
        file="state/screening.sql",
        old="SELECT true FROM retrofill.results\n            WHERE",
        new="SELECT true FROM retrofill.results\n            WHERE false AND",
        test=UNORDERED + "test_results_and_quarantine_are_known_and_a_changed_item_is_not",
    ),
    Mutant(
        name="skipped items not counted where a set ends",
        file="state/screening.py",
        old='"left_out": json.dumps(_left_out(taken.whole)),',
        new='"left_out": json.dumps(_left_out(() if taken.is_cut else taken.whole)),',
        test=COUNTS + "test_half_of_a_hundred_objects_are_filtered_in_sets_of_twenty",
    ),
    Mutant(
        name="a cut page counted again",
        file="state/screening.py",
        old='"recent": b"" if done else taken.recent,',
        new='"recent": b"",',
        test=COUNTS + "test_half_of_a_hundred_objects_are_filtered_in_sets_of_twenty",
    ),
    Mutant(
        name="a partition that lists nothing accepted",
        file="pipeline/enqueue.py",
        old="if progress.seen and not progress.found:",
        new="if progress.seen and progress.done:",
        test=READINGS + "test_a_run_with_an_unfinished_range_is_not_complete",
    ),
    Mutant(
        name="a source that shows nothing accepted",
        file="pipeline/list_partitions.py",
        old="if source_seen and all(partition.seen == 0 for partition in found):",
        new="if source_seen and not found:",
        test=READINGS + "test_a_source_with_an_object_that_lists_none_is_not_divided",
    ),
    Mutant(
        name="settling without the fence",
        file="state/lease.sql",
        old="WHERE batch_id = %(batch_id)s AND epoch = %(epoch)s AND done_at IS NULL\n"
        "    AND settle_no = %(settle_no)s - 1",
        new="WHERE batch_id = %(batch_id)s AND done_at IS NULL",
        test=RACES + "test_a_failure_reported_by_a_zombie_is_not_recorded",
    ),
    Mutant(
        name="late success not accepted",
        file="state/lease.py",
        old="            self._settler.write_late_facts(cur, settlement)\n",
        new="            pass\n",
        test=BATCHES + "test_a_zombie_may_record_only_successes",
    ),
    Mutant(
        name="late success counted for its old run",
        file="state/lease.py",
        old="            self._settler.write_late_facts(cur, settlement)\n",
        new="            self._settler.write_facts(cur, settlement)\n",
        test=BATCHES + "test_a_late_success_counts_for_the_current_run_of_the_item",
    ),
    Mutant(
        name="calls recorded after they were sent",
        file="pipeline/invoke.py",
        old="            self._dispatch.put_back(self._lease.settle(settlement, calls))\n"
        "        except LeaseLost:\n",
        new="            self._lease.settle(settlement, [])\n"
        "            for number, call in enumerate(calls, self._lease.next_call):\n"
        "                call.number = number\n"
        "                self._dispatch.sent(call, now)\n"
        "                self._client.send(number, self._shape.body(call.items))\n"
        "            from retrofill.model.calls import Settlement\n"
        "            self._lease.settle(Settlement(), calls)\n"
        "            self._gate.sent(len(calls))\n"
        "            return\n"
        "        except LeaseLost:\n",
        test="tests/integration/test_invoke.py::test_a_call_is_recorded_before_it_is_sent",
    ),
    Mutant(
        name="a lost call does not count as an attempt",
        file="state/lost_calls.sql",
        old="    attempts = attempts + 1, unsure = true, not_before",
        new="    unsure = true, not_before",
        test=BATCHES + "test_calls_of_a_dead_holder_are_lost_and_their_items_in_doubt",
    ),
    Mutant(
        name="a lost call leaves no doubt",
        file="state/lost_calls.sql",
        old="    attempts = attempts + 1, unsure = true, not_before",
        new="    attempts = attempts + 1, not_before",
        test=BATCHES + "test_calls_of_a_dead_holder_are_lost_and_their_items_in_doubt",
    ),
    Mutant(
        name="without bisection",
        file="engine/dispatch.py",
        old="        if len(call.seqs) > 1:\n            self._bisect(call, now)\n"
        "        elif not self._blame(call.entries[0], record, error, final=False):\n"
        "            self._retry(Call.of(call.entries, call.attempt + 1), now)\n",
        new="        left = [\n"
        "            one for one in call.entries\n"
        "            if not self._blame(one, record, error, final=False)\n"
        "        ]\n"
        "        if left:\n"
        "            self._retry(Call.of(left, call.attempt + 1), now)\n",
        test="tests/unit/test_dispatch.py::test_exactly_the_poison_is_quarantined_within_the_bound",
    ),
    Mutant(
        name="a lease taken from a live holder",
        file="state/lease.py",
        old="elif batch.leased_s > 0 and not holder_is_dead(batch.holder):",
        new="elif batch.leased_s < 0:",
        test=BATCHES + "test_a_batch_has_one_holder_at_a_time",
    ),
    Mutant(
        name="a commit without a response applied twice",
        file="state/lease.py",
        old="                    return values(cur) == [self._settle_no + 1]\n",
        new="                    return False\n",
        test=BATCHES + "test_a_commit_without_a_response_is_not_applied_twice",
    ),
    Mutant(
        name="a zombie gives the new holder's batch back",
        file="state/lease.py",
        old="            if cur.rowcount and not done:\n",
        new="            if not done:\n",
        test=BATCHES + "test_a_zombie_that_returns_its_batch_does_not_touch_the_new_holders_calls",
    ),
    Mutant(
        name="processed items are called again",
        file="state/lease.py",
        old="        self._leave_out_settled(cur, calls)\n",
        new="",
        test=BATCHES + "test_items_that_a_zombie_reported_as_done_are_not_called_again",
    ),
    Mutant(
        name="batches of two runs overlap",
        file="state/batches.sql",
        old="count(*) FILTER (WHERE wall) OVER (ORDER BY first_seq) AS island",
        new="0 AS island",
        test=BATCHES + "test_two_runs_that_enqueue_in_turn_share_no_item",
    ),
    Mutant(
        name="planning reads all items again for each extent",
        file="state/batches.sql",
        old="AND seq BETWEEN placed.first_seq AND placed.last_seq",
        new="AND seq + 0 BETWEEN placed.first_seq AND placed.last_seq",
        test=PLANS + "[one row-batches-list_pieces1]",
    ),
    Mutant(
        name="a page of calls is listed again for each call",
        file="state/maintenance.sql",
        old="""call_no = ANY(ARRAY(
    SELECT call_no FROM retrofill.invocation
    WHERE batch_id = %(batch_id)s AND outcome IS NOT NULL
    ORDER BY call_no LIMIT (SELECT %(rows)s)
))""",
        new="""call_no IN (
    SELECT call_no FROM retrofill.invocation
    WHERE batch_id = %(batch_id)s AND outcome IS NOT NULL
    ORDER BY call_no LIMIT %(rows)s
)""",
        test=PLANS + "[one row-maintenance-delete_calls]",
    ),
    Mutant(
        name="a planned extent counted as whole",
        file="state/batches.sql",
        old="UPDATE retrofill.extent SET whole = false",
        new="UPDATE retrofill.extent SET whole = true",
        test=BATCHES + "test_remaining_items_are_planned_without_processed_ones",
    ),
    Mutant(
        name="complete with a partition left",
        file="state/runs.sql",
        old="partitions > 0 AND partitions_left = 0 AND",
        new="partitions > 0 AND",
        test=RACES + "test_a_run_with_a_partition_left_is_not_complete",
    ),
    Mutant(
        name="complete without a partition",
        file="state/runs.sql",
        old="partitions > 0 AND partitions_left = 0 AND",
        new="partitions_left = 0 AND",
        test=OTHERS + "test_a_run_without_partitions_is_incomplete",
    ),
    Mutant(
        name="complete while another run has its items",
        file="state/runs.sql",
        old=" AND with_others = 0",
        new="",
        test=OTHERS + "test_a_run_is_not_complete_while_another_active_run_has_its_items",
    ),
    Mutant(
        name="as many known items as listed ones taken for the listed ones",
        file="engine/taking.py",
        old='known == b"".join(identifiers)',
        new="len(known) == IDENTIFIER_BYTES * len(identifiers)",
        test="tests/unit/test_taking.py::test_counts_equal_the_objects_wherever_a_set_or_page_ends",
    ),
    Mutant(
        name="items in process in another run noted although they were not listed",
        file="state/screening.py",
        old='if seqs and elsewhere != b"".join(map(_identifier, items)):',
        new="if not seqs:",
        test=OTHERS + "test_a_run_waits_only_for_the_items_that_it_listed",
    ),
    Mutant(
        name="items in process in another run not noted",
        file="state/screening.py",
        old="        if elsewhere:\n",
        new="        if elsewhere and partition.done:\n",
        test=OTHERS + "test_a_run_is_not_complete_while_another_active_run_has_its_items",
    ),
    Mutant(
        name="a run that close_run did not close left open",
        file="pipeline/close_run.py",
        old='    abandoned = report.status == "open"\n',
        new="    abandoned = False\n",
        test=OTHERS + "test_a_run_that_close_run_did_not_close_is_closed_reported_and_red",
    ),
    Mutant(
        name="a listing that ends early accepted",
        file="sources/s3/source.py",
        old="        if not answer.more:\n",
        new="        if not answer.more and answer.rows:\n",
        test=ENDS + "test_a_listing_that_ends_before_the_surveys_last_key_is_not_done",
    ),
    Mutant(
        name="complete although a source with an object listed nothing",
        file="state/runs.sql",
        old="NOT source_seen OR ",
        new="true OR ",
        test=ENDS + "test_a_source_with_an_object_whose_partitions_list_none_is_not_complete",
    ),
    Mutant(
        name="items resumed whenever they are planned",
        file="state/batches.sql",
        old="SELECT lower(part), upper(part) - 1, %(run_id)s, whole, false",
        new="SELECT lower(part), upper(part) - 1, run_id, whole, false",
        test=ENDS + "test_a_cleared_run_is_complete_once_all_it_took_over_is_processed",
    ),
    Mutant(
        name="an earlier cleared set green although its run is incomplete",
        file="pipeline/close_run.py",
        old='    if later and report.status == "complete":\n',
        new="    if later and not abandoned:\n",
        test=ENDS + "test_an_earlier_cleared_set_fails_if_its_run_is_incomplete",
    ),
    Mutant(
        name="outputs of the previous run called",
        file="pipeline/plan_batches.py",
        old="    require_no_feedback(conn, ref, run, config)\n",
        new="",
        test=FEEDBACK + "test_outputs_among_equally_many_originals_are_noticed",
    ),
    Mutant(
        name="a run stopped only for names",
        file="pipeline/feedback.py",
        old="pairs = [one for one in origins if one.in_time]",
        new="pairs = origins",
        test=FEEDBACK + "test_files_of_other_origin_stop_no_run",
    ),
    Mutant(
        name="outputs left in process for the next run",
        file="state/feedback.py",
        old='cur.execute(_SQL["withdraw"], ',
        new='cur.mogrify(_SQL["withdraw"], ',
        test=FEEDBACK + "test_a_run_that_excludes_outputs_continues_after_one_that_did_not",
    ),
    Mutant(
        name="green although the run is incomplete",
        file="pipeline/close_run.py",
        old='    if report.status != "complete":\n        raise RunIncomplete(_what_now(report))\n'
        "    if abandoned:",
        new="    if abandoned:",
        test=OTHERS + "test_a_run_that_close_run_did_not_close_is_closed_reported_and_red",
    ),
    Mutant(
        name="green although no notification was sent",
        file="workflow.py",
        old="as_teardown(on_failure_fail_dagrun=True)",
        new="as_teardown(on_failure_fail_dagrun=False)",
        test=WORKFLOW + "test_the_last_task_always_runs_and_decides_the_dag_runs_state",
    ),
    Mutant(
        name="the requested conf of a DAG run not compared with the given one",
        file="airflow_runs.py",
        old="    if ignored:\n",
        new="    if not params:\n",
        test=WORKFLOW + "test_a_dag_run_without_its_conf_is_refused",
    ),
    Mutant(
        name="another task that reads the DAG run's params",
        file="operators.py",
        old="    return RunConfig.from_stored(run.config), run\n",
        new='    return RunConfig.from_stored({**run.config, "preview": True}), run\n',
        test=WORKFLOW + "test_a_run_does_what_it_was_opened_with",
    ),
    Mutant(
        name="an expired lease sends by its old share",
        file="state/lease.sql",
        old="    AND (%(new_calls)s = 0 OR leased_until > clock_timestamp())\n",
        new="",
        test=LIMITS + "test_an_expired_lease_settles_and_sends_nothing",
    ),
    Mutant(
        name="an abandoned call counts only while its task is alive",
        file="state/lost_calls.sql",
        old=" OR outcome = 'unknown' AND error_type = %(no_answer)s)",
        new=" OR error_type = %(no_answer)s AND false)",
        test=LIMITS + "test_an_abandoned_call_counts_after_its_task_is_gone",
    ),
    Mutant(
        name="a task that could not renew its lease continues to send",
        file="engine/gate.py",
        old="        if now > self._valid_until:\n",
        new="        if now < 0:\n",
        test="tests/unit/test_gate.py::test_a_task_that_could_not_renew_its_lease_sends_nothing",
    ),
    Mutant(
        name="calls above those that the run has left",
        file="engine/gate.py",
        old="free, self._calls_left,",
        new="free,",
        test="tests/unit/test_gate.py::test_calls_are_counted_down_until_more_are_given",
    ),
    Mutant(
        name="a lost call costs nothing",
        file="state/lost_calls.sql",
        old="batch.cost + coalesce(sum(summed.cost), 0),",
        new="batch.cost,",
        test=COSTS + "test_a_lost_call_counts_from_above_until_its_cost_is_known",
    ),
    Mutant(
        name="a late response costs in addition to the lost call",
        file="state/lost_calls.sql",
        old="greatest(cost - (SELECT most FROM counted), 0) + %(cost)s",
        new="cost + %(cost)s",
        test=COSTS + "test_a_lost_call_counts_from_above_until_its_cost_is_known",
    ),
    Mutant(
        name="withheld calls are forgotten",
        file="pipeline/invoke.py",
        old="self._dispatch.put_back(self._lease.settle(settlement, calls))",
        new="self._lease.settle(settlement, calls)",
        test="tests/integration/test_invoke.py"
        "::test_a_task_whose_lease_expired_continues_without_losing_a_call",
    ),
    Mutant(
        name="done before the last portion is loaded",
        file="engine/dispatch.py",
        old="return self.unloaded + len(self._ready) + len(self._waiting) + len(self.in_flight)",
        new="return len(self._ready) + len(self._waiting) + len(self.in_flight)",
        test=PORTIONS + "test_a_terminated_task_leaves_unloaded_items",
    ),
    Mutant(
        name="an item in two portions",
        file="engine/portions.py",
        old="        begin = end\n",
        new="        begin = max(begin + 1, end - 1) if end < len(seqs) else end\n",
        test=PORTIONS + "test_every_item_of_every_portion_is_called_once",
    ),
    Mutant(
        name="all portions loaded at once",
        file="engine/dispatch.py",
        old="return self.due(now) < room and self._can_add",
        new="return self._can_add",
        test=PORTIONS + "test_the_memory_of_a_task_does_not_grow_with_the_batch",
    ),
    Mutant(
        name="portions loaded while ever more calls wait",
        file="engine/dispatch.py",
        old="self.unloaded > 0 and self._waiting_items <= self._most_waiting",
        new="self.unloaded > 0",
        test="tests/unit/test_dispatch.py"
        "::test_no_portion_is_loaded_while_more_calls_wait_than_it_added",
    ),
    Mutant(
        name="items that another run waits for withdrawn",
        file="state/approvals.sql",
        old="            AND run_id = %(run_id)s AND attempts = 0 AND NOT unsure\n"
        "            AND NOT seq <@ %(kept)s::int8multirange\n",
        new="            AND run_id = %(run_id)s AND attempts = 0 AND NOT unsure\n",
        test=APPROVALS + "test_items_that_another_open_run_waits_for_are_left_to_it",
    ),
    Mutant(
        name="called items withdrawn",
        file="state/approvals.sql",
        old=" AND attempts = 0 AND NOT unsure\n",
        new="\n",
        test=APPROVALS + "test_calls_stay_recorded",
    ),
    Mutant(
        name="a waiting run closed without withdrawing",
        file="pipeline/approve.py",
        old="    if approval is not None and approval.status is ApprovalStatus.WAITING:\n",
        new="    if approval is not None and approval.withdrawn:\n",
        test=APPROVALS + "test_a_run_whose_dag_run_ends_while_it_waits_leaves_nothing_behind",
    ),
    Mutant(
        name="calls while a plan waits for approval",
        file="pipeline/approve.py",
        old="    if run.approval is None or run.approval.status is not ApprovalStatus.APPROVED:\n",
        new="    if run.approval is None:\n",
        test=APPROVALS + "test_only_approved_items_are_called",
    ),
    Mutant(
        name="minutes of waiting counted as running",
        file="state/limits.sql",
        old="opened_at + waited + make_interval",
        new="opened_at + make_interval",
        test=APPROVALS + "test_an_approved_plan_stays_and_waiting_does_not_count_as_its_minutes",
    ),
    Mutant(
        name="a batch of several portions loaded as one",
        file="state/portions.py",
        old="    if is_one(batch.bytes):\n",
        new="    if batch.items:\n",
        test=PORTIONS + "test_the_memory_of_a_task_does_not_grow_with_the_batch",
    ),
    Mutant(
        name="a run that stops by max_calls although a call in flight may be refused",
        file="engine/shares.py",
        old="share.unsettled or (share.calls_left and not share.own)",
        new="share.calls_left and not share.own",
        test=LIMITS + "test_refused_calls_are_given_back",
    ),
    Mutant(
        name="refused calls that are not given back",
        file="state/allotting.sql",
        old="coalesce(sum(calls - refused), 0) AS calls",
        new="coalesce(sum(calls), 0) AS calls",
        test=LIMITS + "test_refused_calls_are_given_back",
    ),
    Mutant(
        name="an item blamed in an earlier run counted as blamed in this one",
        file="state/portions.sql",
        old="coalesce(blamed_by = %(run_id)s, false)",
        new="blamed_by IS NOT NULL",
        test=LIMITS + "test_a_failure_of_an_earlier_run_is_judged_once_in_this_one",
    ),
    Mutant(
        name="a ramp that rises regardless of its looks",
        file="engine/ramp.py",
        old='why = first.worse(seen) if self.looks >= FIRST_LOOKS else ""',
        new='why = ""',
        test="tests/unit/test_ramp.py::test_it_settles_below_the_width_at_which_calls_get_slow",
    ),
    Mutant(
        name="a canary of the first items",
        file="engine/sampling.py",
        old="    return [(begin + at * of) // take for at in range(take)]\n",
        new="    return list(range(take))\n",
        test="tests/unit/test_sampling.py::test_every_item_has_the_same_chance_whatever_its_size",
    ),
    Mutant(
        name="items that a closed run waits for as a canary",
        file="state/canary.sql",
        old="status <> 'complete'",
        new="status = 'open'",
        test=CANARY + "test_items_that_a_closed_run_waits_for_are_not_moved",
    ),
    Mutant(
        name="items that a closed run waits for withdrawn",
        file="state/approvals.sql",
        old="status <> 'complete'",
        new="status = 'open'",
        test=APPROVALS + "test_items_that_a_closed_run_waits_for_are_left_until_it_is_cleared",
    ),
    Mutant(
        name="items that a closed run waits for withdrawn as feedback",
        file="state/feedback.sql",
        old="status <> 'complete'",
        new="status = 'open'",
        test=FEEDBACK + "test_items_that_a_closed_run_waits_for_are_not_withdrawn",
    ),
    Mutant(
        name="a ramp that rises while its run waits for approval",
        file="state/locks.sql",
        old="clock_timestamp() - opened_at - waited)",
        new="clock_timestamp() - opened_at)",
        test=LIMITS + "test_a_ramp_does_not_rise_while_its_run_awaits_approval",
    ),
    Mutant(
        name="a budget that reserves nothing before the first call ends",
        file="engine/shares.py",
        old="max(least_cost, totals.cost / max(totals.calls, 1))",
        new="totals.cost / max(totals.calls, 1)",
        test=COSTS + "test_the_minimum_cost_is_reserved_before_the_first_call_ends",
    ),
)
