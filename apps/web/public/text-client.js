// A chat in plain text that shows everything the socket does. No build, no module: it also runs from a file.
(() => {
  const $ = (id) => document.getElementById(id);
  const TYPING_PAUSE_MS = 2500;
  const { nonce } = document.currentScript;
  // From a server the page may run no script but its own and this one.
  const urls = window.trustedTypes?.createPolicy('library', { createScriptURL: libraryOf }) ?? {
    createScriptURL: libraryOf,
  };
  let socket;
  let audio;
  let typingTimer;
  let typing = false;
  let count = 0;

  $('server').value = location.protocol === 'file:' ? 'http://localhost:5000' : location.origin;
  const hash = new URLSearchParams(location.hash.slice(1));
  $('token').value = hash.get('token') ?? '';
  $('receiver').value = hash.get('to') ?? '';

  /** One line of the event log. Text only: what others wrote must stay text. */
  function log(way, what, details) {
    const line = document.createElement('li');
    line.dataset.way = way;
    const shown = details === undefined ? '' : ` ${typeof details === 'string' ? details : JSON.stringify(details)}`;
    line.textContent = `${new Date().toISOString().slice(11, 23)} ${what}${shown}`;
    const atEnd = $('log').scrollHeight - $('log').scrollTop - $('log').clientHeight < 40;
    $('log').append(line);
    if (atEnd) $('log').scrollTop = $('log').scrollHeight;
  }

  function showState(state, text) {
    $('state').dataset.state = state;
    $('state').textContent = text;
    const online = state === 'online';
    $('message').disabled = !online;
    $('send').disabled = !online;
    $('disconnect').disabled = !socket;
  }

  /** The same message is one line, whether it is on its way, stored, or read. */
  function showMessage({ key, mine, name, text, state }) {
    let line = [...$('messages').children].find((each) => each.dataset.key === key);
    if (!line) {
      line = document.createElement('li');
      line.dataset.key = key;
      $('messages').append(line);
    }
    const note = document.createElement('small');
    note.textContent = ` ${state}`;
    line.className = `${mine ? 'mine' : 'theirs'} ${state.split(':')[0]}`;
    line.replaceChildren(mine ? text : `${name}: ${text}`, note);
    line.dataset.text = text;
    $('messages').scrollTop = $('messages').scrollHeight;
    return line;
  }

  function beep() {
    if ($('mute').checked) return;
    audio ??= new AudioContext();
    const tone = audio.createOscillator();
    const volume = audio.createGain();
    tone.frequency.setValueAtTime(660, audio.currentTime);
    tone.frequency.setValueAtTime(880, audio.currentTime + 0.09);
    volume.gain.setValueAtTime(0.12, audio.currentTime);
    volume.gain.exponentialRampToValueAtTime(0.001, audio.currentTime + 0.3);
    tone.connect(volume).connect(audio.destination);
    tone.start();
    tone.stop(audio.currentTime + 0.3);
    log('socket', 'notification sound');
  }

  function libraryOf(server) {
    return new URL('/socket.io/socket.io.min.js', server).href;
  }

  /** The client library comes from the server that is talked to, so that both are of one version. */
  function loadLibrary(server) {
    return new Promise((resolve, reject) => {
      if (window.io) return resolve();
      const script = document.createElement('script');
      script.nonce = nonce;
      script.src = urls.createScriptURL(server);
      script.onload = resolve;
      script.onerror = () => reject(new Error(`no Socket.IO server at ${server}`));
      document.head.append(script);
    });
  }

  function emit(event, payload, onAnswer) {
    log('sent', event, payload);
    socket.emit(event, payload, (answer) => {
      log('received', `acknowledgement of ${event}`, answer);
      onAnswer?.(answer);
    });
  }

  function watch(own) {
    const { io: manager } = own;
    own.on('connect', () => {
      log('socket', 'connect', `${own.id} by ${manager.engine.transport.name}`);
      manager.engine.on('upgrade', (transport) => log('socket', 'upgrade', `to ${transport.name}`));
      showState('online', `connected as ${own.id}`);
    });
    own.on('disconnect', (reason) => {
      log('socket', 'disconnect', reason);
      showState('offline', `disconnected: ${reason}`);
    });
    own.on('connect_error', (error) => {
      log('socket', 'connect_error', { message: error.message, ...(error.data ? { data: error.data } : {}) });
      showState('offline', error.message);
    });
    for (const event of ['reconnect_attempt', 'reconnect', 'reconnect_error', 'reconnect_failed', 'ping']) {
      manager.on(event, (detail) => log('socket', event, detail instanceof Error ? detail.message : detail));
    }
    own.onAny((event, ...args) => log('received', event, args.length > 1 ? args : args[0]));
    own.on('receive_message', ({ message }) => onMessage(message));
    own.on('message_sent', ({ message, tempId }) => {
      showMessage({ key: tempId, mine: true, text: message.content, state: 'sent' }).dataset.id = message._id;
    });
    own.on('message_read_receipt', ({ messageId }) => {
      const line = [...$('messages').children].find((each) => each.dataset.id === messageId);
      if (line) showMessage({ key: line.dataset.key, mine: true, text: line.dataset.text, state: 'read' });
    });
    // Whoever is gone from one moment to the next does not say that he has stopped.
    let typingEnds;
    own.on('user_typing', ({ userId, isTyping }) => {
      if (userId !== $('receiver').value) return;
      $('typing').textContent = isTyping ? 'typing…' : '';
      clearTimeout(typingEnds);
      if (isTyping) typingEnds = setTimeout(() => ($('typing').textContent = ''), 6_000);
    });
  }

  function onMessage(message) {
    const fromPeer = message.sender._id === $('receiver').value;
    const mine = message.receiver._id === $('receiver').value;
    showMessage({
      key: message.tempId ?? message._id,
      mine,
      name: message.sender.username,
      text: message.content,
      state: 'received',
    });
    if (mine) return;
    $('typing').textContent = '';
    beep();
    if (fromPeer && !document.hidden) emit('message_read', { messageId: message._id, senderId: message.sender._id });
  }

  function setTyping(now) {
    clearTimeout(typingTimer);
    if (now) typingTimer = setTimeout(() => setTyping(false), TYPING_PAUSE_MS);
    if (typing === now || !socket?.connected || !$('receiver').value) return;
    typing = now;
    emit(now ? 'typing_start' : 'typing_stop', { receiverId: $('receiver').value });
  }

  function disconnect() {
    socket?.disconnect();
    socket = undefined;
    showState('offline', 'not connected');
  }

  $('connection').addEventListener('submit', async (event) => {
    event.preventDefault();
    disconnect();
    const server = $('server').value.replace(/\/+$/, '');
    try {
      await loadLibrary(server);
    } catch (error) {
      log('socket', 'error', error.message);
      return showState('offline', error.message);
    }
    socket = window.io(server, { auth: { token: $('token').value.trim() }, forceNew: true });
    watch(socket);
    log('socket', 'connecting', server);
    showState('offline', 'connecting…');
  });
  $('disconnect').addEventListener('click', disconnect);

  $('composer').addEventListener('submit', (event) => {
    event.preventDefault();
    const text = $('message').value;
    if (text === '' || !socket) return;
    count += 1;
    const tempId = `text-${Date.now()}-${count}`;
    showMessage({ key: tempId, mine: true, text, state: 'sending' });
    emit('send_message', { receiverId: $('receiver').value.trim(), content: text, tempId }, (answer) => {
      if (!answer.ok) showMessage({ key: tempId, mine: true, text, state: `failed: ${answer.error.message}` });
    });
    $('message').value = '';
    setTyping(false);
  });
  $('message').addEventListener('input', () => setTyping($('message').value !== ''));
  $('message').addEventListener('blur', () => setTyping(false));
  $('clear').addEventListener('click', () => $('log').replaceChildren());

  $('account').addEventListener('submit', async (event) => {
    event.preventDefault();
    const way = event.submitter?.value ?? 'login';
    const body = { email: $('email').value, password: $('password').value };
    if (way === 'register') body.username = $('username').value;
    log('sent', `POST /api/auth/${way}`);
    try {
      const response = await fetch(`${$('server').value.replace(/\/+$/, '')}/api/auth/${way}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      });
      const answer = await response.json();
      log('received', `${response.status} ${answer.message}`, answer.errors);
      if (!answer.success) return;
      $('token').value = answer.data.token;
      $('own-id').textContent = answer.data.user._id;
    } catch (error) {
      log('socket', 'error', error.message);
    }
  });
})();
