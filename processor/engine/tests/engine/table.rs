//! Every command in every state.

use expect_test::expect;
use std::fmt::Write;

use crate::conversation::{Conversation, program};

#[test]
fn every_command_in_every_state() {
    let definition = "do: [{ both: { fork: { branches: [{ a: { call: a, metadata: { millrace: { heartbeat: PT10S } } } }, { b: { wait: PT5S } }] } } }]";
    let states = [
        ("absent", ""),
        ("running", "start"),
        ("suspended", "start\nsuspend"),
        ("incident", "start\nlimit 100\ncomplete 2.1 x100\nlimit 1000"),
        ("completed", "start\ncomplete 2.1\nfire 1"),
        ("faulted", "start\nfail 2.1"),
        ("cancelled", "start\ncancel"),
    ];
    let commands = [
        "start",
        "complete 2.1",
        "fail 2.1",
        "beat 2.1",
        "fire 1",
        "signal t",
        "cancel",
        "suspend",
        "resume",
        "undo",
        "retry",
        "edit /do/0/both/fork/branches/0/a 1",
        "skip /do/0/both/fork/branches/0/a 1",
        "restart /do/0/both 1",
        "reopen /do/0/both",
    ];
    let mut table = String::new();
    for (state, script) in states {
        writeln!(table, "{state}").expect("writing to a string");
        for command in commands {
            let mut conversation = Conversation::new(program(definition));
            conversation.run(script);
            let out = conversation.run(command);
            let lines: Vec<_> = out.lines().skip(1).filter(|it| !it.contains("=>")).map(str::trim).collect();
            writeln!(table, "  {command}: {}", lines.join(", ")).expect("writing to a string");
        }
    }
    expect![[r#"
        absent
          start: InstanceStarted, TaskStarted 1 in 0 /do/0/both Branches 2, TaskStarted 2 in 1 /do/0/both/fork/branches/0/a Call a, TaskDispatched 2.1, TimerSet 0 Heartbeat of 2 at 10000, TaskStarted 3 in 1 /do/0/both/fork/branches/1/b Waiting, TimerSet 1 Wait of 3 at 5000
          complete 2.1: rejected: instance i does not exist; start it first, or check the id
          fail 2.1: rejected: instance i does not exist; start it first, or check the id
          beat 2.1: rejected: instance i does not exist; start it first, or check the id
          fire 1: rejected: instance i does not exist; start it first, or check the id
          signal t: rejected: instance i does not exist; start it first, or check the id
          cancel: rejected: instance i does not exist; start it first, or check the id
          suspend: rejected: instance i does not exist; start it first, or check the id
          resume: rejected: instance i does not exist; start it first, or check the id
          undo: rejected: instance i does not exist; start it first, or check the id
          retry: rejected: instance i does not exist; start it first, or check the id
          edit /do/0/both/fork/branches/0/a 1: rejected: instance i does not exist; start it first, or check the id
          skip /do/0/both/fork/branches/0/a 1: rejected: instance i does not exist; start it first, or check the id
          restart /do/0/both 1: rejected: instance i does not exist; start it first, or check the id
          reopen /do/0/both: rejected: instance i does not exist; start it first, or check the id
        running
          start: rejected: instance i exists already (running); a start is idempotent, nothing was done
          complete 2.1: TaskCompleted 2 -> null
          fail 2.1: TaskFaulted 2 /do/0/both/fork/branches/0/a communication 500 at /do/0/both/fork/branches/0/a: the worker gave no reason, TaskCancelled 3, TaskFaulted 1 /do/0/both communication 500 at /do/0/both/fork/branches/0/a: the worker gave no reason, InstanceFaulted communication 500 at /do/0/both/fork/branches/0/a: the worker gave no reason
          beat 2.1: HeartbeatRecorded 2 until 10000
          fire 1: TaskCompleted 3 -> null
          signal t: SignalReceived, SignalBuffered test 2
          cancel: InstanceCancelled
          suspend: InstanceSuspended
          resume: rejected: instance i is running; there is nothing to resume
          undo: InstanceCancelled
          retry: rejected: no task of instance i has failed and waits for somebody; resume the instance if it stands still, or restart it from a task
          edit /do/0/both/fork/branches/0/a 1: rejected: instance i is running, and a task gets another input only while it stands still; suspend it first
          skip /do/0/both/fork/branches/0/a 1: rejected: no task of instance i has failed and waits for somebody; resume the instance if it stands still, or restart it from a task
          restart /do/0/both 1: InstanceRestarted in 0 /do/0/both by ann with 1, TaskStarted 4 in 0 /do/0/both [!1] Branches 2, TaskStarted 5 in 4 /do/0/both/fork/branches/0/a [!1] Call a, TaskDispatched 5.1, TimerSet 2 Heartbeat of 5 at 10000, TaskStarted 6 in 4 /do/0/both/fork/branches/1/b [!1] Waiting, TimerSet 3 Wait of 6 at 5000
          reopen /do/0/both: InstanceRestarted in 0 /do/0/both by ann with null context null, TaskStarted 4 in 0 /do/0/both [!1] Branches 2, TaskStarted 5 in 4 /do/0/both/fork/branches/0/a [!1] Call a, TaskDispatched 5.1, TimerSet 2 Heartbeat of 5 at 10000, TaskStarted 6 in 4 /do/0/both/fork/branches/1/b [!1] Waiting, TimerSet 3 Wait of 6 at 5000
        suspended
          start: rejected: instance i exists already (suspended); a start is idempotent, nothing was done
          complete 2.1: CommandDeferred complete_task
          fail 2.1: CommandDeferred fail_task
          beat 2.1: CommandDeferred record_heartbeat
          fire 1: CommandDeferred fire_timer
          signal t: SignalReceived, CommandDeferred deliver_signal
          cancel: InstanceCancelled
          suspend: rejected: instance i stands still already (suspended)
          resume: InstanceResumed
          undo: InstanceCancelled
          retry: rejected: no task of instance i has failed and waits for somebody; resume the instance if it stands still, or restart it from a task
          edit /do/0/both/fork/branches/0/a 1: TaskEdited 2 in 1 /do/0/both/fork/branches/0/a by ann input 1
          skip /do/0/both/fork/branches/0/a 1: rejected: no task of instance i has failed and waits for somebody; resume the instance if it stands still, or restart it from a task
          restart /do/0/both 1: InstanceResumed, InstanceRestarted in 0 /do/0/both by ann with 1, TaskStarted 4 in 0 /do/0/both [!1] Branches 2, TaskStarted 5 in 4 /do/0/both/fork/branches/0/a [!1] Call a, TaskDispatched 5.1, TimerSet 2 Heartbeat of 5 at 10000, TaskStarted 6 in 4 /do/0/both/fork/branches/1/b [!1] Waiting, TimerSet 3 Wait of 6 at 5000
          reopen /do/0/both: InstanceResumed, InstanceRestarted in 0 /do/0/both by ann with null context null, TaskStarted 4 in 0 /do/0/both [!1] Branches 2, TaskStarted 5 in 4 /do/0/both/fork/branches/0/a [!1] Call a, TaskDispatched 5.1, TimerSet 2 Heartbeat of 5 at 10000, TaskStarted 6 in 4 /do/0/both/fork/branches/1/b [!1] Waiting, TimerSet 3 Wait of 6 at 5000
        incident
          start: rejected: instance i exists already (incident); a start is idempotent, nothing was done
          complete 2.1: rejected: task 2.1 (/do/0/both/fork/branches/0/a) is not open: its answer was dropped by an incident; it is sent out again when the instance is resumed
          fail 2.1: rejected: task 2.1 (/do/0/both/fork/branches/0/a) is not open: its answer was dropped by an incident; it is sent out again when the instance is resumed
          beat 2.1: rejected: task 2.1 (/do/0/both/fork/branches/0/a) is not open: its answer was dropped by an incident; it is sent out again when the instance is resumed
          fire 1: CommandDeferred fire_timer
          signal t: SignalReceived, CommandDeferred deliver_signal
          cancel: InstanceCancelled
          suspend: rejected: instance i stands still already (incident)
          resume: InstanceResumed, TaskDispatched 2.2, TimerCleared 0, TimerSet 2 Heartbeat of 2 at 10000
          undo: InstanceCancelled
          retry: rejected: no task of instance i has failed and waits for somebody; resume the instance if it stands still, or restart it from a task
          edit /do/0/both/fork/branches/0/a 1: TaskEdited 2 in 1 /do/0/both/fork/branches/0/a by ann input 1
          skip /do/0/both/fork/branches/0/a 1: rejected: no task of instance i has failed and waits for somebody; resume the instance if it stands still, or restart it from a task
          restart /do/0/both 1: InstanceResumed, InstanceRestarted in 0 /do/0/both by ann with 1, TaskStarted 4 in 0 /do/0/both [!1] Branches 2, TaskStarted 5 in 4 /do/0/both/fork/branches/0/a [!1] Call a, TaskDispatched 5.1, TimerSet 2 Heartbeat of 5 at 10000, TaskStarted 6 in 4 /do/0/both/fork/branches/1/b [!1] Waiting, TimerSet 3 Wait of 6 at 5000
          reopen /do/0/both: InstanceResumed, InstanceRestarted in 0 /do/0/both by ann with null context null, TaskStarted 4 in 0 /do/0/both [!1] Branches 2, TaskStarted 5 in 4 /do/0/both/fork/branches/0/a [!1] Call a, TaskDispatched 5.1, TimerSet 2 Heartbeat of 5 at 10000, TaskStarted 6 in 4 /do/0/both/fork/branches/1/b [!1] Waiting, TimerSet 3 Wait of 6 at 5000
        completed
          start: rejected: instance i exists already (completed); a start is idempotent, nothing was done
          complete 2.1: rejected: instance i has ended (completed); a complete_task has no effect
          fail 2.1: rejected: instance i has ended (completed); a fail_task has no effect
          beat 2.1: rejected: instance i has ended (completed); a record_heartbeat has no effect
          fire 1: rejected: instance i has ended (completed); a fire_timer has no effect
          signal t: rejected: instance i has ended (completed); a deliver_signal has no effect
          cancel: rejected: instance i has ended (completed); a cancel has no effect
          suspend: rejected: instance i has ended (completed); a suspend has no effect
          resume: rejected: instance i has ended (completed); a resume has no effect
          undo: rejected: instance i has ended (completed); a cancel has no effect
          retry: rejected: instance i has ended (completed); a retry has no effect
          edit /do/0/both/fork/branches/0/a 1: rejected: instance i has ended (completed); an edit has no effect
          skip /do/0/both/fork/branches/0/a 1: rejected: instance i has ended (completed); a skip has no effect
          restart /do/0/both 1: rejected: instance i has ended (completed), and the restart does not bring what it needs to be open again; `millrace restart` sends that
          reopen /do/0/both: InstanceRestarted in 0 /do/0/both by ann with null context null, TaskStarted 4 in 0 /do/0/both [!1] Branches 2, TaskStarted 5 in 4 /do/0/both/fork/branches/0/a [!1] Call a, TaskDispatched 5.1, TimerSet 2 Heartbeat of 5 at 15000, TaskStarted 6 in 4 /do/0/both/fork/branches/1/b [!1] Waiting, TimerSet 3 Wait of 6 at 10000
        faulted
          start: rejected: instance i exists already (faulted); a start is idempotent, nothing was done
          complete 2.1: rejected: instance i has ended (faulted); a complete_task has no effect
          fail 2.1: rejected: instance i has ended (faulted); a fail_task has no effect
          beat 2.1: rejected: instance i has ended (faulted); a record_heartbeat has no effect
          fire 1: rejected: instance i has ended (faulted); a fire_timer has no effect
          signal t: rejected: instance i has ended (faulted); a deliver_signal has no effect
          cancel: rejected: instance i has ended (faulted); a cancel has no effect
          suspend: rejected: instance i has ended (faulted); a suspend has no effect
          resume: rejected: instance i has ended (faulted); a resume has no effect
          undo: rejected: instance i has ended (faulted); a cancel has no effect
          retry: rejected: instance i has ended (faulted); a retry has no effect
          edit /do/0/both/fork/branches/0/a 1: rejected: instance i has ended (faulted); an edit has no effect
          skip /do/0/both/fork/branches/0/a 1: rejected: instance i has ended (faulted); a skip has no effect
          restart /do/0/both 1: rejected: instance i has ended (faulted), and the restart does not bring what it needs to be open again; `millrace restart` sends that
          reopen /do/0/both: InstanceRestarted in 0 /do/0/both by ann with null context null, TaskStarted 4 in 0 /do/0/both [!1] Branches 2, TaskStarted 5 in 4 /do/0/both/fork/branches/0/a [!1] Call a, TaskDispatched 5.1, TimerSet 2 Heartbeat of 5 at 10000, TaskStarted 6 in 4 /do/0/both/fork/branches/1/b [!1] Waiting, TimerSet 3 Wait of 6 at 5000
        cancelled
          start: rejected: instance i exists already (cancelled); a start is idempotent, nothing was done
          complete 2.1: rejected: instance i has ended (cancelled); a complete_task has no effect
          fail 2.1: rejected: instance i has ended (cancelled); a fail_task has no effect
          beat 2.1: rejected: instance i has ended (cancelled); a record_heartbeat has no effect
          fire 1: rejected: instance i has ended (cancelled); a fire_timer has no effect
          signal t: rejected: instance i has ended (cancelled); a deliver_signal has no effect
          cancel: rejected: instance i has ended (cancelled); a cancel has no effect
          suspend: rejected: instance i has ended (cancelled); a suspend has no effect
          resume: rejected: instance i has ended (cancelled); a resume has no effect
          undo: rejected: instance i has ended (cancelled); a cancel has no effect
          retry: rejected: instance i has ended (cancelled); a retry has no effect
          edit /do/0/both/fork/branches/0/a 1: rejected: instance i has ended (cancelled); an edit has no effect
          skip /do/0/both/fork/branches/0/a 1: rejected: instance i has ended (cancelled); a skip has no effect
          restart /do/0/both 1: rejected: instance i has ended (cancelled), and the restart does not bring what it needs to be open again; `millrace restart` sends that
          reopen /do/0/both: InstanceRestarted in 0 /do/0/both by ann with null context null, TaskStarted 4 in 0 /do/0/both [!1] Branches 2, TaskStarted 5 in 4 /do/0/both/fork/branches/0/a [!1] Call a, TaskDispatched 5.1, TimerSet 2 Heartbeat of 5 at 10000, TaskStarted 6 in 4 /do/0/both/fork/branches/1/b [!1] Waiting, TimerSet 3 Wait of 6 at 5000
    "#]].assert_eq(&table);
}

#[test]
fn a_step_with_another_version_is_the_callers_bug() {
    let mut conversation = Conversation::new(program("do: [{ a: { call: a } }]"));
    conversation.run("start");
    conversation.program.workflow.version = "2.0.0".into();
    let cancelled = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| conversation.run("cancel")));
    assert!(cancelled.is_err());
}
