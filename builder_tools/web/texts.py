"""Every word of the page, in English and Russian, in one table.

A text may name facts in braces (`{limit_mb}`); `Words` puts them in.
"""
# ruff: noqa: RUF001 - Russian letters that look like Latin ones are meant.

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from builder_tools.languages import EMOTION_WORDS, LANGUAGES, check_language, emotion_word
from builder_tools.web.limits import Refused

LANGUAGE_NAMES = {"en": "English", "ru": "Русский"}

TEXTS: Mapping[str, tuple[str, str]] = {
    # the page
    "title": ("Emotions in faces", "Эмоции на лицах"),
    "intro": (
        "A photo, a folder of photos, a video or a camera: who shows what. Everything stays on "
        "the machine that runs this page, and uploads are deleted after use.",
        "Фото, папка с фото, видео или камера: кто что выражает. Всё остаётся на компьютере, "
        "где запущена эта страница, а загруженное удаляется сразу после обработки.",
    ),
    "caution": (
        "A model reads faces, not minds: what a face shows is not always what a person feels.",
        "Модель читает лица, а не мысли: выражение лица не всегда говорит о том, что человек "
        "чувствует.",
    ),
    "other_language": ("Русский", "English"),
    "api_link": ("HTTP API", "HTTP API"),
    "tab.photo": ("Photo", "Фото"),
    "tab.camera": ("Webcam", "Камера"),
    "tab.video": ("Video", "Видео"),
    "tab.batch": ("Batch", "Пакет"),
    "tab.models": ("Models", "Модели"),
    # photo
    "photo.drop": (
        "A photo: JPEG, PNG, WebP, TIFF, AVIF ..., up to {limit_mb} MB",
        "Фото: JPEG, PNG, WebP, TIFF, AVIF ..., до {limit_mb} МБ",
    ),
    "photo.empty": (
        "Drop a photo above: boxes, emotions and their probabilities appear here.",
        "Загрузите фото: здесь появятся рамки, эмоции и их вероятности.",
    ),
    "photo.save": ("The marked photo", "Размеченное фото"),
    "blur": ("Make faces unknowable in what is drawn", "Скрыть лица на размеченном"),
    "photo.alt": ("The photo with {count} faces marked", "Фото, отмечено лиц: {count}"),
    "photo.no_face": ("No face was found in {name}.", "На фото {name} лиц не найдено."),
    "photo.found": ("{name}: faces found: {count}", "{name}: найдено лиц: {count}"),
    "photo.doubtful": ("not sure", "не уверена"),
    "photo.more": (
        "Shown are the {count} largest faces.",
        "Показаны {count} самых крупных лиц.",
    ),
    "face.title": ("Face {number}", "Лицо {number}"),
    "face.score": ("detection {score}", "обнаружение {score}"),
    "dial.alt": (
        "Valence {valence}, arousal {arousal}",
        "Валентность {valence}, возбуждение {arousal}",
    ),
    "valence": ("valence", "валентность"),
    "arousal": ("arousal", "возбуждение"),
    # camera
    "camera.start": ("Start camera", "Включить камеру"),
    "camera.stop": ("Stop camera", "Выключить камеру"),
    "camera.mirror": ("Mirror", "Зеркально"),
    "camera.rest": ("Learn my resting face", "Запомнить спокойное лицо"),
    "camera.rest_now": (
        "Look neutral for three seconds ...",
        "Три секунды смотрите спокойно ...",
    ),
    "camera.rest_known": (
        "Each label's second line tells what the face shows compared with its rest.",
        "Вторая строка подписи: что лицо показывает по сравнению с покоем.",
    ),
    "camera.from_rest": ("from rest", "от покоя"),
    "camera.idle": (
        "The camera is off. Images go to this machine only and are not kept.",
        "Камера выключена. Кадры идут только на этот компьютер и не сохраняются.",
    ),
    "camera.starting": ("Starting the camera ...", "Камера включается ..."),
    "camera.no_face": ("no face", "лица нет"),
    "camera.fps": ("frames a second", "кадров в секунду"),
    "camera.latency": ("latency, ms", "задержка, мс"),
    "camera.server": ("of these the model, ms", "из них модель, мс"),
    "camera.denied": (
        "The browser gives no access to a camera ({error}). Allow it here, or connect one.",
        "Браузер не даёт доступа к камере ({error}). Разрешите доступ или подключите камеру.",
    ),
    "camera.insecure": (
        "Browsers open cameras only on localhost or over HTTPS: open this page so.",
        "Браузеры включают камеру только на localhost или по HTTPS: откройте страницу так.",
    ),
    "camera.lost": (
        "The connection to the program was lost. Start the camera again.",
        "Связь с программой потеряна. Включите камеру снова.",
    ),
    # video
    "video.drop": (
        "A video: MP4, MOV, WebM, MKV, AVI or GIF, up to {limit_mb} MB and {limit_s} s",
        "Видео: MP4, MOV, WebM, MKV, AVI или GIF, до {limit_mb} МБ и {limit_s} с",
    ),
    "video.start": ("Watch the video", "Обработать видео"),
    "video.cancel": ("Stop", "Остановить"),
    "video.empty": (
        "Choose a video: here appear who showed what when, the highlights, and files to download.",
        "Выберите видео: здесь появятся эмоции по времени, яркие моменты и файлы для скачивания.",
    ),
    "video.none": ("Choose a video first.", "Сначала выберите видео."),
    "video.waiting": (
        "Another video is being watched; yours is next in line.",
        "Обрабатывается другое видео; ваше в очереди.",
    ),
    "video.begin": ("Opening the video ...", "Открываю видео ..."),
    "video.progress": (
        "{frame} of about {total} frames, {fps} a second, {left} s left",
        "{frame} из примерно {total} кадров, {fps} в секунду, осталось {left} с",
    ),
    "video.progress_open": ("{frame} frames, {fps} a second", "{frame} кадров, {fps} в секунду"),
    "video.finishing": ("Finding highlights ...", "Поиск ярких моментов ..."),
    "video.done": (
        "{name}: {frames} frames, {seconds} s; faces in {share} of the frames, people: {people}",
        "{name}: {frames} кадров, {seconds} с; лица в {share} кадров, людей: {people}",
    ),
    "video.left_out": (
        " (short or weak tracks left out: {count})",
        " (не учтено коротких или слабых треков: {count})",
    ),
    "video.cut_short": ("Note: {warning}", "Замечание: {warning}"),
    "video.timeline": ("Emotions over time (seconds)", "Эмоции по времени (секунды)"),
    "video.timeline_alt": (
        "Mean probability of each emotion over time: {shares}",
        "Средняя вероятность каждой эмоции по времени: {shares}",
    ),
    "video.affect": (
        "Valence and arousal over time (seconds)",
        "Валентность и возбуждение по времени (секунды)",
    ),
    "video.highlights": ("Highlights", "Яркие моменты"),
    "video.highlights_how": (
        "Moments when the largest face was most above its usual arousal, in its own sigmas.",
        "Моменты, когда самое крупное лицо сильнее всего отличалось по возбуждению от обычного, "
        "в его сигмах.",
    ),
    "video.no_highlights": ("No moment stands out.", "Выделяющихся моментов нет."),
    "video.column.rank": ("rank", "место"),
    "video.column.from": ("from, s", "с, с"),
    "video.column.to": ("to, s", "по, с"),
    "video.column.peak": ("peak, s", "пик, с"),
    "video.column.score": ("score", "сила"),
    "video.people": ("People", "Люди"),
    "video.column.person": ("person", "человек"),
    "video.column.seen": ("in sight, s", "в кадре, с"),
    "video.column.emotion": ("mostly", "чаще всего"),
    "video.seek": ("Play from here", "Смотреть отсюда"),
    "video.annotated": ("The video with faces marked", "Видео с отмеченными лицами"),
    "video.stopped": ("Stopped; nothing was kept.", "Остановлено; ничего не сохранено."),
    # batch
    "batch.drop": (
        "Photos or one zip of them: up to {limit} photos and {limit_mb} MB",
        "Фото или один zip с ними: до {limit} фото и {limit_mb} МБ",
    ),
    "batch.start": ("Classify all", "Обработать все"),
    "batch.empty": (
        "Choose photos or a zip: here appear the rows of a Kaggle csv.",
        "Выберите фото или zip: здесь появятся строки csv для Kaggle.",
    ),
    "batch.none": ("Choose photos or a zip first.", "Сначала выберите фото или zip."),
    "batch.progress": ("{done} of {total} photos", "{done} из {total} фото"),
    "batch.done": ("{total} rows: {counts}", "Строк: {total}: {counts}"),
    "batch.ignored": ("Files that are no photos: {count}", "Файлов, не являющихся фото: {count}"),
    "batch.renamed": (
        "Same names in several folders: {count} got a number ({example})",
        "Одинаковые имена в разных папках: {count} получили номер ({example})",
    ),
    "batch.shown": ("Shown are the first {count} rows.", "Показаны первые {count} строк."),
    "status.ok": ("one face", "одно лицо"),
    "status.no_face": ("no face", "лица нет"),
    "status.multi_face": ("several faces", "несколько лиц"),
    "status.unreadable": ("unreadable", "не читается"),
    # downloads
    "download": ("Download", "Скачать"),
    "download.kept": (
        "Kept for {minutes} minutes, then deleted.",
        "Хранится {minutes} мин, затем удаляется.",
    ),
    "download.delete": ("Delete now", "Удалить сейчас"),
    "download.deleted": ("Deleted.", "Удалено."),
    "file.video": ("annotated video, mp4", "видео с разметкой, mp4"),
    "file.csv": ("timeline, csv", "таблица по времени, csv"),
    "file.json": ("every frame, JSON lines", "каждый кадр, строки JSON"),
    "file.highlights": ("highlights, csv", "яркие моменты, csv"),
    "file.submission": ("Kaggle csv", "csv для Kaggle"),
    "file.log": ("what happened to each photo, csv", "что с каждым фото, csv"),
    # models
    "models.model": ("Model", "Модель"),
    "models.detector": ("Face detector", "Детектор лиц"),
    "models.how": (
        "The choice counts for all tabs of this page.",
        "Выбор действует на всех вкладках этой страницы.",
    ),
    "models.card_language": ("", "Карточка модели приведена на английском."),
    # refusals
    "refused.empty": ("The file is empty (0 bytes).", "Файл пуст (0 байт)."),
    "refused.too_big": (
        "The file has {size_mb} MB; at most {limit_mb} MB are taken.",
        "Размер файла {size_mb} МБ; принимается не более {limit_mb} МБ.",
    ),
    "refused.too_many_pixels": (
        "The image has {pixels_mp} million pixels; at most {limit_mp} million are taken. "
        "Try a smaller copy.",
        "В кадре {pixels_mp} млн пикселей; принимается не более {limit_mp} млн. "
        "Уменьшите изображение.",
    ),
    "refused.too_long_side": (
        "A side has {size_px} px; at most {limit_px} are taken. Try a smaller copy.",
        "Сторона {size_px} пикселей; принимается не более {limit_px}. Уменьшите изображение.",
    ),
    "refused.too_long": (
        "The video is longer than {limit_s} s ({seconds} s). Cut it first.",
        "Видео длиннее {limit_s} с ({seconds} с). Сначала обрежьте его.",
    ),
    "refused.too_many_files": (
        "{count} photos; at most {limit} are taken at once.",
        "{count} фото; за раз принимается не более {limit}.",
    ),
    "refused.unpacks_too_big": (
        "The zip unpacks to more than {limit_mb} MB, or is packed as only zip bombs are.",
        "Zip распаковывается более чем в {limit_mb} МБ или сжат так, как бывают только zip-бомбы.",
    ),
    "refused.no_picture": (
        "This is no image that can be read (JPEG, PNG, WebP, BMP, TIFF, GIF, AVIF, JPEG 2000, "
        "PPM, TGA, ICO; HEIC where its package is installed). Save it as JPEG.",
        "Это не изображение, которое можно прочитать (JPEG, PNG, WebP, BMP, TIFF, GIF, AVIF, "
        "JPEG 2000, PPM, TGA, ICO; HEIC, если установлен его пакет). Сохраните его как JPEG.",
    ),
    "refused.no_video": (
        "This is no video that can be read (MP4, MOV, WebM, MKV, AVI, GIF ...).",
        "Это не видео, которое можно прочитать (MP4, MOV, WebM, MKV, AVI, GIF ...).",
    ),
    "refused.no_zip": ("This is no zip archive.", "Это не zip-архив."),
    "refused.corrupt_picture": (
        "The image is damaged or cut short and cannot be read.",
        "Изображение повреждено или обрезано и не читается.",
    ),
    "refused.corrupt_video": (
        "The video is damaged or cut short and cannot be read.",
        "Видео повреждено или обрезано и не читается.",
    ),
    "refused.corrupt_zip": ("The zip archive is damaged.", "Zip-архив повреждён."),
    "refused.zip_password": (
        "The zip is locked by a password or packed in an unknown way.",
        "Zip защищён паролем или сжат неизвестным способом.",
    ),
    "refused.zip_path": (
        "The zip holds a name that leads out of it ({name}); it is not unpacked.",
        "В zip есть имя, ведущее за его пределы ({name}); архив не распакован.",
    ),
    "refused.nothing_in_zip": (
        "There are no images in the zip (JPEG, PNG, WebP, BMP, TIFF, GIF, AVIF ...).",
        "В zip нет изображений (JPEG, PNG, WebP, BMP, TIFF, GIF, AVIF ...).",
    ),
    "refused.unknown_model": ("There is no model {model}.", "Модели {model} нет."),
    "refused.unknown_detector": ("There is no detector {detector}.", "Детектора {detector} нет."),
    "refused.detector_absent": (
        "The detector {detector} cannot be used here: {reason}",
        "Детектор {detector} здесь недоступен: {reason}",
    ),
    "refused.no_rest": (
        "No resting face is known of the model {model}, so nothing is compared with one.",
        "Для модели {model} не известно спокойное лицо: сравнивать не с чем.",
    ),
    "refused.busy": (
        "Too many requests at once. Try again in a moment.",
        "Слишком много запросов сразу. Попробуйте чуть позже.",
    ),
    "refused.full": (
        "The server holds as many files as it may. Try again in some minutes.",
        "Сервер хранит столько файлов, сколько может. Попробуйте через несколько минут.",
    ),
    "refused.gone": (
        "The upload is no longer there. Choose the file again.",
        "Загруженного файла уже нет. Выберите файл снова.",
    ),
    "refused.internal": (
        "Something went wrong inside the program; its log says more.",
        "Внутренняя ошибка программы; подробности в её журнале.",
    ),
    **{f"emotion.{name}": words for name, words in EMOTION_WORDS.items()},
}


class Words:
    """The texts of one language.

    Args:
        language: One of `LANGUAGES`.

    Raises:
        ValueError: If there is no such language.
    """

    def __init__(self, language: str) -> None:
        self.language = check_language(language)
        self._column = LANGUAGES.index(language)

    def __call__(self, key: str, **facts: Any) -> str:
        """Return a text with its facts put in."""
        return TEXTS[key][self._column].format(**facts)

    def raw(self, key: str) -> str:
        """Return a text with its braces, for the page's scripts to put facts in."""
        return TEXTS[key][self._column]

    def emotion(self, name: str) -> str:
        """Return an emotion's name in this language; English names stay as they are, and others
        that say none of the nine."""
        return emotion_word(name, self.language)

    def refusal(self, error: Refused) -> str:
        """Return why an upload was not taken."""
        return self(f"refused.{error.code}", **error.facts)

    def group(self, prefix: str) -> dict[str, str]:
        """Return the raw texts under a prefix, by what follows it; for the page's scripts."""
        return {
            key.removeprefix(prefix): texts[self._column]
            for key, texts in TEXTS.items()
            if key.startswith(prefix)
        }
