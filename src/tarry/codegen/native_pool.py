"""The native half of the thread pool: workers, the parallel loop and the runner of plans, as one LLVM module.

How a parallel loop works. Its owner (whoever holds LOCK) writes the kernel, its arguments and the number of
chunks, then publishes a ticket: a new generation in the high half, the chunks not yet taken in the low half.
Anybody takes a chunk by a compare-and-exchange that lowers the ticket by one, and only then reads the kernel:
the owner cannot go on to another loop before that chunk is counted in DONE, so what was read belongs to the
ticket. The owner takes chunks too, then waits until DONE reaches the number of chunks. Which thread takes a
chunk never shows in a result, because the work is cut by its size alone.

Which chunk it is that a claim gives follows from the ranges: each thread has a contiguous part of the chunks,
the same one in every loop of as many chunks, and takes from the others' parts when its own is used up. So a
thread finds in its caches what it had before, and cores whose last-level caches are separate share them out.

Idle workers spin for SPIN_TICKS, then sleep: on Linux on the generation word (futex), so that a ticket
published between the last look and the sleep ends the sleep at once; elsewhere in short naps that grow
longer.

A loop started while another has the workers (a second Python thread, a kernel that starts a loop) runs
serially.
"""

from __future__ import annotations

from tarry.runtime.threads import MOST_RANGES, POOL_LAYOUT, RANGE_BYTES

NATIVE_POOL_SYMBOLS = ("worker_main", "parallel_for", "run_plan", "stop_workers", "ticks")

_FUTEX_SYSCALL = {"x86": 202, "aarch64": 98}

_TAKE = """
; Run chunks of the published loop until none are left, those of range `place` first.
define private void @take_chunks(ptr %pool, i64 %place) {
entry:
  %ranges = getelementptr i8, ptr %pool, i64 $FIRST_RANGE
  %used_field = getelementptr i8, ptr %pool, i64 $USED_RANGES
  %function_field = getelementptr i8, ptr %pool, i64 $FUNCTION
  %arguments_field = getelementptr i8, ptr %pool, i64 $ARGUMENTS
  %chunks_field = getelementptr i8, ptr %pool, i64 $CHUNKS
  %done_field = getelementptr i8, ptr %pool, i64 $DONE
  br label %look
look:
  %place_now = phi i64 [%place, %entry], [%place_now, %again], [%here, %work]
  %ticket = load atomic i64, ptr %pool acquire, align 8
  %left = and i64 %ticket, 4294967295
  %none = icmp eq i64 %left, 0
  br i1 %none, label %out, label %claim
claim:
  %lowered = sub i64 %ticket, 1
  %exchange = cmpxchg ptr %pool, i64 %ticket, i64 %lowered acq_rel acquire
  %claimed = extractvalue {i64, i1} %exchange, 1
  br i1 %claimed, label %search, label %again
again:
  call void @pause()
  br label %look
search:
  ; There are as many chunks in the ranges as claims, so the search ends.
  %here = phi i64 [%place_now, %claim], [%other, %onward]
  %range_offset = mul i64 %here, $RANGE_BYTES
  %range = getelementptr i8, ptr %ranges, i64 %range_offset
  %end_field = getelementptr i8, ptr %range, i64 8
  %chunk = atomicrmw add ptr %range, i64 1 monotonic
  %end = load i64, ptr %end_field
  %found = icmp slt i64 %chunk, %end
  br i1 %found, label %work, label %onward
onward:
  %following = add i64 %here, 1
  %used = load i64, ptr %used_field
  %past = icmp sge i64 %following, %used
  %other = select i1 %past, i64 0, i64 %following
  br label %search
work:
  %chunks = load i64, ptr %chunks_field
  %function = load ptr, ptr %function_field
  %arguments = load ptr, ptr %arguments_field
  call void %function(ptr %arguments, i64 %chunk, i64 %chunks)
  %before = atomicrmw add ptr %done_field, i64 1 release
  br label %look
out:
  ret void
}
"""

_WORKER = """
; The life of a worker thread: spin for work, work, sleep, until STOP is set.
define void @worker_main(ptr %pool) {
entry:
  %stop_field = getelementptr i8, ptr %pool, i64 $STOP
  %spin_field = getelementptr i8, ptr %pool, i64 $SPIN_TICKS
  %sleepers_field = getelementptr i8, ptr %pool, i64 $SLEEPERS
  %joined_field = getelementptr i8, ptr %pool, i64 $JOINED
  %joined = atomicrmw add ptr %joined_field, i32 1 monotonic
  %number = zext i32 %joined to i64
  br label %awake
awake:
  %naps = phi i32 [0, %entry], [0, %work], [%more_naps, %sleep]
  %since = call i64 @ticks()
  br label %look
look:
  %ticket = load atomic i64, ptr %pool acquire, align 8
  %left = and i64 %ticket, 4294967295
  %none = icmp eq i64 %left, 0
  br i1 %none, label %idle, label %work
work:
  ; Range 0 is the owner's.
  %used_field = getelementptr i8, ptr %pool, i64 $USED_RANGES
  %used = load i64, ptr %used_field
  %wanted = add i64 %number, 1
  %within = icmp slt i64 %wanted, %used
  %place = select i1 %within, i64 %wanted, i64 0
  call void @take_chunks(ptr %pool, i64 %place)
  br label %awake
idle:
  %stop = load atomic i32, ptr %stop_field acquire, align 4
  %stopped = icmp ne i32 %stop, 0
  br i1 %stopped, label %leave, label %spin
spin:
  call void @pause()
  %spin_ticks = load volatile i64, ptr %spin_field
  %now = call i64 @ticks()
  %spun = sub i64 %now, %since
  %early = icmp ult i64 %spun, %spin_ticks
  %fresh = icmp eq i32 %naps, 0
  %go_on = and i1 %early, %fresh
  br i1 %go_on, label %look, label %sleep
sleep:
  %asleep = atomicrmw add ptr %sleepers_field, i32 1 seq_cst
  %generation_wide = lshr i64 %ticket, 32
  %generation = trunc i64 %generation_wide to i32
  %more_naps = call i32 @sleep_until_changed(ptr %pool, i32 %generation, i32 %naps)
  %awoken = atomicrmw sub ptr %sleepers_field, i32 1 seq_cst
  br label %awake
leave:
  ret void
}

define void @stop_workers(ptr %pool) {
  %stop_field = getelementptr i8, ptr %pool, i64 $STOP
  store atomic i32 1, ptr %stop_field seq_cst, align 4
  %ticket = atomicrmw add ptr %pool, i64 4294967296 seq_cst
  call void @wake(ptr %pool, i64 2147483647)
  ret void
}
"""

_PARALLEL = """
; Share the chunks of a loop out among the ranges of the threads.
define private void @set_ranges(ptr %pool, i32 %workers, i64 %chunks) {
entry:
  %ranges = getelementptr i8, ptr %pool, i64 $FIRST_RANGE
  %used_field = getelementptr i8, ptr %pool, i64 $USED_RANGES
  %threads = add i32 %workers, 1
  %crowd = icmp sgt i32 %threads, $MOST_RANGES
  %few = select i1 %crowd, i32 $MOST_RANGES, i32 %threads
  %used = zext i32 %few to i64
  store i64 %used, ptr %used_field
  %each = udiv i64 %chunks, %used
  %whole = mul i64 %each, %used
  %rest = sub i64 %chunks, %whole
  br label %loop
loop:
  %number = phi i64 [0, %entry], [%next, %loop]
  %start = phi i64 [0, %entry], [%end, %loop]
  %longer = icmp slt i64 %number, %rest
  %one_more = zext i1 %longer to i64
  %count = add i64 %each, %one_more
  %end = add i64 %start, %count
  %offset = mul i64 %number, $RANGE_BYTES
  %range = getelementptr i8, ptr %ranges, i64 %offset
  %end_field = getelementptr i8, ptr %range, i64 8
  store atomic i64 %start, ptr %range monotonic, align 8
  store i64 %end, ptr %end_field
  %next = add i64 %number, 1
  %more = icmp slt i64 %next, %used
  br i1 %more, label %loop, label %out
out:
  ret void
}

; Run function(arguments, chunk, chunks) for every chunk; returns when all are done.
define void @parallel_for(ptr %pool, ptr %function, ptr %arguments, i64 %chunks) {
entry:
  %function_field = getelementptr i8, ptr %pool, i64 $FUNCTION
  %arguments_field = getelementptr i8, ptr %pool, i64 $ARGUMENTS
  %chunks_field = getelementptr i8, ptr %pool, i64 $CHUNKS
  %done_field = getelementptr i8, ptr %pool, i64 $DONE
  %sleepers_field = getelementptr i8, ptr %pool, i64 $SLEEPERS
  %workers_field = getelementptr i8, ptr %pool, i64 $WORKERS
  %pauses_field = getelementptr i8, ptr %pool, i64 $YIELD_PAUSES
  %lock_field = getelementptr i8, ptr %pool, i64 $LOCK
  %workers = load volatile i32, ptr %workers_field
  %alone = icmp eq i32 %workers, 0
  br i1 %alone, label %serial, label %try_lock
try_lock:
  %exchange = cmpxchg ptr %lock_field, i32 0, i32 1 acquire monotonic
  %locked = extractvalue {i32, i1} %exchange, 1
  br i1 %locked, label %publish, label %serial
publish:
  store ptr %function, ptr %function_field
  store ptr %arguments, ptr %arguments_field
  store i64 %chunks, ptr %chunks_field
  store atomic i64 0, ptr %done_field monotonic, align 8
  call void @set_ranges(ptr %pool, i32 %workers, i64 %chunks)
  ; stop_workers may add to the generation at any time, so the ticket is changed by addition: its low half is
  ; 0.
  %step = add i64 %chunks, 4294967296
  %old_ticket = atomicrmw add ptr %pool, i64 %step seq_cst
  %sleepers = load atomic i32, ptr %sleepers_field seq_cst, align 4
  %any_asleep = icmp sgt i32 %sleepers, 0
  br i1 %any_asleep, label %wake_some, label %take
wake_some:
  %helpers = sub i64 %chunks, 1
  call void @wake(ptr %pool, i64 %helpers)
  br label %take
take:
  call void @take_chunks(ptr %pool, i64 0)
  %pauses_allowed = load volatile i32, ptr %pauses_field
  br label %wait
wait:
  %pauses = phi i32 [0, %take], [%more, %pause], [%more, %yield]
  %done = load atomic i64, ptr %done_field acquire, align 8
  %finished = icmp eq i64 %done, %chunks
  br i1 %finished, label %unlock, label %pause
pause:
  call void @pause()
  %more = add i32 %pauses, 1
  %too_long = icmp ugt i32 %more, %pauses_allowed
  br i1 %too_long, label %yield, label %wait
yield:
  call void @yield()
  br label %wait
unlock:
  store atomic i32 0, ptr %lock_field release, align 4
  ret void
serial:
  %chunk = phi i64 [0, %entry], [0, %try_lock], [%next, %serial]
  call void %function(ptr %arguments, i64 %chunk, i64 %chunks)
  %next = add i64 %chunk, 1
  %unfinished = icmp slt i64 %next, %chunks
  br i1 %unfinished, label %serial, label %return
return:
  ret void
}
"""

_PLAN = """
%step = type {ptr, ptr, i64, ptr}

; Run steps in order; returns how many were run: fewer than count when the time is up, so that the caller can
; look at its signals and go on. The clock is read after parallel steps and after every eighth.
define i64 @run_plan(ptr %pool, ptr %steps, i64 %count) {
entry:
  %budget_field = getelementptr i8, ptr %pool, i64 $BUDGET_TICKS
  %budget = load volatile i64, ptr %budget_field
  %since = call i64 @ticks()
  %empty = icmp slt i64 %count, 1
  br i1 %empty, label %return, label %start
start:
  %number = phi i64 [0, %entry], [%next, %continue], [%next, %time]
  %function_slot = getelementptr %step, ptr %steps, i64 %number
  %function = load ptr, ptr %function_slot
  %arguments_slot = getelementptr %step, ptr %steps, i64 %number, i32 1
  %arguments = load ptr, ptr %arguments_slot
  %chunks_slot = getelementptr %step, ptr %steps, i64 %number, i32 2
  %chunks_given = load i64, ptr %chunks_slot
  %finish_slot = getelementptr %step, ptr %steps, i64 %number, i32 3
  %finish = load ptr, ptr %finish_slot
  %one = icmp slt i64 %chunks_given, 2
  br i1 %one, label %serial, label %parallel
serial:
  call void %function(ptr %arguments, i64 0, i64 1)
  br label %ran
parallel:
  call void @parallel_for(ptr %pool, ptr %function, ptr %arguments, i64 %chunks_given)
  br label %ran
ran:
  %chunks = phi i64 [1, %serial], [%chunks_given, %parallel]
  %no_finish = icmp eq ptr %finish, null
  br i1 %no_finish, label %continue, label %finishing
finishing:
  call void %finish(ptr %arguments, i64 0, i64 %chunks)
  br label %continue
continue:
  %next = add i64 %number, 1
  %last = icmp sge i64 %next, %count
  %low_bits = and i64 %next, 7
  %eighth = icmp eq i64 %low_bits, 0
  %many = icmp sgt i64 %chunks, 1
  %look = or i1 %eighth, %many
  %leave_or_look = or i1 %last, %look
  br i1 %leave_or_look, label %decide, label %start
decide:
  br i1 %last, label %return, label %time
time:
  %now = call i64 @ticks()
  %spent = sub i64 %now, %since
  %in_time = icmp ult i64 %spent, %budget
  br i1 %in_time, label %start, label %return
return:
  %ran_steps = phi i64 [0, %entry], [%next, %decide], [%next, %time]
  ret i64 %ran_steps
}
"""

_PAUSE = {
    "x86": """
declare void @llvm.x86.sse2.pause()
define private void @pause() {
  call void @llvm.x86.sse2.pause()
  ret void
}
""",
    # The yield hint does nothing on most Arm cores; the barrier takes about as long as the x86 pause.
    "aarch64": """
declare void @llvm.aarch64.isb(i32)
define private void @pause() {
  call void @llvm.aarch64.isb(i32 15)
  ret void
}
""",
    "other": """
define private void @pause() {
  fence acquire
  ret void
}
""",
}

_TICKS = {
    "x86": """
declare i64 @llvm.readcyclecounter()
define i64 @ticks() {
  %now = call i64 @llvm.readcyclecounter()
  ret i64 %now
}
""",
    # The cycle counter traps outside the kernel on Arm; the virtual timer does not.
    "aarch64": """
declare i64 @llvm.read_volatile_register.i64(metadata)
define i64 @ticks() {
  %now = call i64 @llvm.read_volatile_register.i64(metadata !0)
  ret i64 %now
}
!0 = !{!"cntvct_el0"}
""",
    "other": """
declare i64 @clock()
define i64 @ticks() {
  %now = call i64 @clock()
  ret i64 %now
}
""",
}

# sleep_until_changed returns how often the worker has napped in a row without being woken: after a nap it
# does not spin again, or an idle process would keep its cores busy.

# FUTEX_WAIT_PRIVATE is 128, FUTEX_WAKE_PRIVATE 129.
_FUTEX = """
declare i64 @syscall(i64, ...)
declare i32 @sched_yield()
define private i32 @sleep_until_changed(ptr %pool, i32 %generation, i32 %naps) {
  %word = getelementptr i8, ptr %pool, i64 $GENERATION
  %result = call i64 (i64, ...) @syscall(
      i64 $FUTEX, ptr %word, i32 128, i32 %generation, ptr null, ptr null, i32 0)
  ret i32 0
}
define private void @wake(ptr %pool, i64 %count) {
  %word = getelementptr i8, ptr %pool, i64 $GENERATION
  %few = trunc i64 %count to i32
  %result = call i64 (i64, ...) @syscall(i64 $FUTEX, ptr %word, i32 129, i32 %few, ptr null, ptr null, i32 0)
  ret void
}
define private void @yield() {
  %result = call i32 @sched_yield()
  ret void
}
"""

# Naps of 0.1 ms that grow to 6.4 ms; the worker looks for a ticket between them, nobody has to wake it.
_NAP = """
declare i32 @usleep(i32)
declare i32 @sched_yield()
define private i32 @sleep_until_changed(ptr %pool, i32 %generation, i32 %naps) {
  %long = icmp ugt i32 %naps, 6
  %growth = select i1 %long, i32 6, i32 %naps
  %microseconds = shl i32 100, %growth
  %result = call i32 @usleep(i32 %microseconds)
  %more = add i32 %naps, 1
  ret i32 %more
}
define private void @wake(ptr %pool, i64 %count) {
  ret void
}
define private void @yield() {
  %result = call i32 @sched_yield()
  ret void
}
"""

_NAP_WINDOWS = """
declare void @Sleep(i32)
declare i32 @SwitchToThread()
define private i32 @sleep_until_changed(ptr %pool, i32 %generation, i32 %naps) {
  call void @Sleep(i32 1)
  ret i32 1
}
define private void @wake(ptr %pool, i64 %count) {
  ret void
}
define private void @yield() {
  %result = call i32 @SwitchToThread()
  ret void
}
"""


def native_pool_text(triple: str) -> str:
    """The pool's LLVM text for the machine and system of a target triple; exports `NATIVE_POOL_SYMBOLS`."""
    machine = triple.split("-", 1)[0]
    if machine in ("x86_64", "amd64", "i686"):
        architecture = "x86"
    elif machine in ("aarch64", "arm64"):
        architecture = "aarch64"
    else:
        architecture = "other"
    if "linux" in triple and architecture in _FUTEX_SYSCALL:
        waiting = _FUTEX
    elif "windows" in triple:
        waiting = _NAP_WINDOWS
    else:
        waiting = _NAP
    text = _PAUSE[architecture] + _TICKS[architecture] + waiting + _TAKE + _WORKER + _PARALLEL + _PLAN
    fields = {
        **POOL_LAYOUT,
        "FUTEX": _FUTEX_SYSCALL.get(architecture, 0),
        "RANGE_BYTES": RANGE_BYTES,
        "MOST_RANGES": MOST_RANGES,
    }
    # No name is the beginning of another, so the order does not matter.
    for name, value in fields.items():
        text = text.replace(f"${name}", str(value))
    return text
