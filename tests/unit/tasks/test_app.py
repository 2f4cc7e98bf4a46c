"""How a worker ends and what it gives back, as Celery is told."""

from tasks.app import make_app


def test_a_worker_that_is_told_to_stop_finishes_what_runs_and_gives_back_the_rest() -> None:
    conf = make_app("redis://127.0.0.1:1/0").conf
    assert conf.task_acks_late
    assert conf.task_reject_on_worker_lost
    assert conf.worker_soft_shutdown_timeout == 20
    assert conf.worker_enable_soft_shutdown_on_idle
    # A step that is under way when Redis goes away comes to its end; its row says whether it counts.
    assert conf.worker_cancel_long_running_tasks_on_connection_loss is False
