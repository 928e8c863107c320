#!/usr/bin/env python3
"""Asks a real Kubernetes: `cluster.py plane|node tests/cluster/test.py [NAME...]`. NAME is a file of tests, or a test."""

import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import chart
import doctor
import gateway
import helm
import identity
import mounted
import network
import oidc
import peers
import rights
import rollout
import rotation
import secret_keys
import sidecar
from cluster import succeeds

# None of them needs a node. Each makes what it stands on, so each can be run alone.
PLANE = [
    chart.the_rendered_manifests_are_admitted,
    chart.the_chart_is_admitted_where_restricted_is_enforced,
    chart.wrong_values_are_refused_with_their_names,
    helm.a_rollback_leaves_the_number_to_the_autoscaler,
    rights.the_rotation_has_the_rights_that_it_uses_and_no_other,
    rights.the_rotation_reads_and_writes_its_secret_and_no_other,
    rights.two_rotations_at_once_change_the_secret_once,
    rights.a_conflicting_write_is_repeated_with_what_was_decided_anew,
    secret_keys.every_command_works_on_a_secret_and_writes_only_what_it_has_changed,
    secret_keys.a_right_that_is_missing_is_named_before_any_key_changes,
    secret_keys.what_is_missing_is_named_with_what_makes_it,
    identity.a_service_account_opens_the_admin_listener_until_its_token_expires_and_no_other_does,
]
# It mostly waits, so the others go on meanwhile, in other namespaces.
BESIDE = [rotation.three_rotations_refuse_no_token_and_restart_nothing]
NODE = [
    sidecar.a_token_of_a_login_passes_and_others_do_not,
    sidecar.a_ban_is_obeyed_within_ten_seconds,
    sidecar.both_hold_while_the_issuer_and_the_service_are_rolled,
    peers.a_pod_without_rights_verifies_tokens_by_the_services_keys,
    identity.a_pods_own_token_opens_the_admin_listener,
    network.only_those_whom_a_policy_names_reach_wxmint_and_redis,
    network.wxmint_reaches_nothing_else,
    network.the_defaults_shut_wxmint_and_redis_too,
    network.each_policy_is_missed_when_it_is_taken_away,
    doctor.the_doctor_finds_each_mistake_of_the_manifests,
    mounted.changed_secrets_are_taken_without_a_restart,
    mounted.vanished_secrets_end_nothing,
    mounted.a_redis_that_is_away_and_one_that_is_empty_end_no_pod,
    gateway.a_login_from_outside_counts_for_the_clients_address,
    gateway.the_sidecar_in_front_lets_a_login_pass_and_obeys_a_ban,
    gateway.a_login_by_the_gateway_api_counts_for_the_clients_address,
    oidc.a_site_behind_oauth2_proxy_logs_a_person_in,
    helm.helm_test_logs_a_person_in,
    helm.an_upgrade_that_fails_stops_no_login_and_is_rolled_back,
    helm.an_upgrade_that_fails_takes_no_setting_from_the_old_pods,
    helm.an_upgrade_that_fails_takes_nothing_from_a_services_pods,
    helm.the_pods_run_as_the_user_that_the_platform_chooses,
    helm.autoscaling_that_is_switched_on_stops_no_replica,
    rollout.no_login_is_lost_while_replicas_come_and_go,
    rollout.a_node_that_restarts_brings_everybody_back,
]


def passes(test):
    """Runs a test and says how it went."""
    name, began = f"{test.__module__}.{test.__name__}", time.monotonic()
    try:
        said = test()
    except BaseException:
        print(f"cluster: FAILED {name} after {time.monotonic() - began:.0f} s\n{traceback.format_exc()}", flush=True)
        return False
    print(f"cluster: ok {name}, {time.monotonic() - began:.0f} s{f': {said}' if said else ''}", flush=True)
    return True


def main():
    """All of them, or those that are named."""
    named = sys.argv[1:]
    beside, others = BESIDE, PLANE + NODE
    if not succeeds("kubectl", "get", "node/node"):
        beside, others = [], PLANE
    if named:
        beside, others = ([test for test in tests if {test.__module__, test.__name__} & set(named)] for tests in (beside, others))
    with ThreadPoolExecutor() as threads:
        waiting = [threads.submit(passes, test) for test in beside]
        results = [passes(test) for test in others] + [each.result() for each in waiting]
    print(f"cluster: {sum(results)} passed, {results.count(False)} failed")
    sys.exit(not all(results) or not results)


if __name__ == "__main__":
    main()
