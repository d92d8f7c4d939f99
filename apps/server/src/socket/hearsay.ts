/** A live message as Socket.IO puts it into words: its id stands first. */
const MESSAGE = /^2\["receive_message",\{"message":\{"_id":"([0-9a-f]{24})"/;

/** The id of the message that an event between nodes tells of; undefined when it tells of something else. */
export const messageTold = (words: string): string | undefined => MESSAGE.exec(words)?.[1];
