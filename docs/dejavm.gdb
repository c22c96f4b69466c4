# Commands for gdb at a DejaVM: source this file after 'target remote'.

# A monitor command may move the machine, and the protocol has no way to say so.
define hookpost-monitor
  maintenance flush register-cache
  maintenance flush dcache
end

define seek
  monitor seek $arg0
  frame
end
document seek
Go to a step of the recording: seek N, seek end, seek 50%
end

define when
  monitor when
end
document when
The step at which the machine stands.
end
